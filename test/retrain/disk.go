package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fullDisk trains on larger and larger disks, until one holds all that a training writes.
func (w *world) fullDisk(ctx context.Context) error {
	used, err := sizeOf(w.models)
	if err != nil {
		return err
	}
	const least, most = 32 << 10, 64 << 20
	for free := int64(least); free < most; free *= 2 {
		fits, err := w.trainInRoom(ctx, used+free)
		if err != nil {
			return fmt.Errorf("%d KiB free: %w", free>>10, err)
		}
		if fits {
			slog.Info("a training fits", "KiB", free>>10)
			return check(free > 4*least, "a training fits into %d KiB: the disk was never full", free>>10)
		}
	}
	return fmt.Errorf("a training did not fit into %d MiB", most>>20)
}

// trainInRoom trains on a file system of its own, which ends with the processes that see it,
// and looks what is there after it has failed.
func (w *world) trainInRoom(ctx context.Context, bytes int64) (fits bool, err error) {
	room, err := os.MkdirTemp("", "genrec-full-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(room)
	const script = `room=$1 size=$2 models=$3 genrec=$4; shift 4
mount -t tmpfs -o "size=$size" tmpfs "$room" && cp -a "$models/." "$room" || exit
said=$("$genrec" "$@" 2>&1 >/dev/null)
case $? in 0|3) echo fits ;; *) case $said in *'no space left'*) echo full ;; *) echo "$said" >&2; exit 1 ;; esac ;; esac
"$genrec" models list --models "$room" --json`
	args := append([]string{"--map-root-user", "--mount", "sh", "-c", script, "sh", room, fmt.Sprint(bytes), w.models, w.s.genrec}, w.training(room)...)
	cmd := exec.CommandContext(ctx, "unshare", args...)
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		return false, fmt.Errorf("train on a disk of %d bytes: %w", bytes, err)
	}
	outcome, text, _ := strings.Cut(string(printed), "\n")
	after, err := decodeLines(text)
	if err != nil {
		return false, err
	}
	w.halfPublished += broken(after)
	if outcome == "fits" {
		return true, nil
	}
	before, err := w.list(ctx, w.models)
	if err != nil {
		return false, err
	}
	return false, check(len(before) == len(after) && percents(before) == percents(after),
		"on the full disk there are the versions %v, before there were %v", after, before)
}

// sizeOf is how many bytes of pages the files below a folder take.
func sizeOf(folder string) (bytes int64, err error) {
	const page = 4 << 10
	err = filepath.WalkDir(folder, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += (info.Size() + page - 1) / page * page
		}
		return err
	})
	return bytes, err
}
