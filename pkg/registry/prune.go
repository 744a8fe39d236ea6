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

// abandonedAfter is the age at which unfinished drafts, uploads and removals are removed.
const abandonedAfter = 24 * time.Hour

// Prune removes all versions except the newest keep ones, those that are served, and those that
// were served before and that a rollback returns to. It returns the removed versions, also with an
// error. It also removes unfinished versions of killed processes after a day.
func (r *Registry) Prune(ctx context.Context, keep int) (removed []string, err error) {
	if keep < 1 {
		return nil, fmt.Errorf("prune %s: cannot keep %d versions: at least 1 is required", r.location, keep)
	}
	versions, err := r.Versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range versions[:max(0, len(versions)-keep)] {
		gone, err := r.removeUnused(ctx, version)
		if err != nil {
			return removed, fmt.Errorf("remove version %q from %s: %w", version, r.location, err)
		}
		if gone {
			removed = append(removed, version)
		}
	}
	if err := r.storage.removeAbandoned(ctx, time.Now().Add(-abandonedAfter)); err != nil {
		return removed, fmt.Errorf("remove abandoned files from %s: %w", r.location, err)
	}
	return removed, nil
}

func (r *Registry) removeUnused(ctx context.Context, version string) (gone bool, err error) {
	inUse := func() (bool, error) {
		kept, err := r.inUse(ctx, version)
		gone = !kept && err == nil
		return kept, err
	}
	// A check before remove, which writes or takes a lock.
	if kept, err := inUse(); kept || err != nil {
		return false, err
	}
	err = r.storage.remove(ctx, version, inUse)
	return gone && err == nil, err
}

// inUse reports whether a version is served or would be after a rollback.
func (r *Registry) inUse(ctx context.Context, version string) (bool, error) {
	stack, err := r.servingStack(ctx)
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

// removeDrafts removes the drafts in a folder that are older than a time and not locked.
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
		return nil // in use by a live process
	} else if err != nil {
		return err
	}
	return os.RemoveAll(draft)
}

// removalName is the name of a version's folder while it is being removed: it has the prefix of
// drafts, so that it is not listed and a later Prune finishes an interrupted removal.
func removalName(version string) string { return draftPrefix + "removed-" + version }
