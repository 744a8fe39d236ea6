package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// abandoned is the age at which a version that was never finished is given up.
const abandoned = 24 * time.Hour

// Prune removes versions but for the newest, as many as keep says, what is served, and what
// was served before; it returns their names, also where it fails in between. It also removes
// what killed processes have left of unfinished versions, after a day.
func (r *Registry) Prune(ctx context.Context, keep int) (removed []string, err error) {
	if keep < 1 {
		return nil, fmt.Errorf("prune %s: %d versions cannot be kept, only 1 or more", r.location, keep)
	}
	versions, err := r.Versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range versions[:max(0, len(versions)-keep)] {
		gone, err := r.removeUnneeded(ctx, version)
		if err != nil {
			return removed, fmt.Errorf("remove version %q from %s: %w", version, r.location, err)
		}
		if gone {
			removed = append(removed, version)
		}
	}
	if err := r.storage.tidy(ctx, time.Now().Add(-abandoned)); err != nil {
		return removed, fmt.Errorf("tidy up %s: %w", r.location, err)
	}
	return removed, nil
}

func (r *Registry) removeUnneeded(ctx context.Context, version string) (gone bool, err error) {
	needed := func() (bool, error) {
		kept, err := r.needed(ctx, version)
		gone = !kept && err == nil
		return kept, err
	}
	// Most are kept without a write, or waiting for anyone.
	if kept, err := needed(); kept || err != nil {
		return false, err
	}
	err = r.storage.remove(ctx, version, needed)
	return gone && err == nil, err
}

// needed says whether a version is served, or was before what is served.
func (r *Registry) needed(ctx context.Context, version string) (bool, error) {
	stack, err := r.Standing(ctx)
	if err != nil {
		return false, err
	}
	for _, shares := range stack[:min(len(stack), 2)] {
		for _, s := range shares {
			if s.Version == version {
				return true, nil
			}
		}
	}
	return false, nil
}

// removeDrafts removes the drafts in a folder that nobody writes any more.
func removeDrafts(dir string, before time.Time) error {
	drafts, err := filepath.Glob(filepath.Join(dir, draftPrefix+"*"))
	if err != nil {
		return err
	}
	for _, draft := range drafts {
		if err := removeDraft(draft, before); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func removeDraft(draft string, before time.Time) error {
	f, err := os.Open(draft)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.ModTime().Before(before) {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil // its writer lives
	} else if err != nil {
		return err
	}
	return os.RemoveAll(draft)
}

// hidden is the name of a version's folder while it is being removed: that of a draft, which
// nobody sees, and which a later Prune removes.
func hidden(version string) string { return draftPrefix + "removed-" + version }
