package doctor

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// minFree is the free space, in bytes, that the history's disk should have.
const minFree = 1 << 30

// History checks that the history folder can be read and written, and that its disk has at
// least 1 GiB free.
func History(folder string) Check {
	const subject = "history"
	return func(context.Context) []Finding {
		if err := unix.Access(folder, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
			return []Finding{failed(subject, fmt.Errorf("read and write in folder %s: %w", folder, err),
				"start ingest, which creates the folder, or create it and make it writable for this user")}
		}
		var disk unix.Statfs_t
		if err := unix.Statfs(folder, &disk); err != nil {
			return []Finding{failed(subject, fmt.Errorf("get the free space of %s: %w", folder, err), "mount its disk again")}
		}
		free := disk.Bavail * uint64(disk.Bsize)
		if free < minFree {
			return []Finding{failed(subject, fmt.Errorf("the disk of %s has only %s free", folder, humanize.IBytes(free)), "free space, or move the folder to a larger disk")}
		}
		return []Finding{ok(subject, "%s is writable, %s free", folder, humanize.IBytes(free))}
	}
}
