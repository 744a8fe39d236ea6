package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"genrec/pkg/durable"
)

const (
	versionsFolder = "versions"
	pointerFile    = "CURRENT"
	pointerLock    = ".CURRENT.lock"
)

// folder is a storage on this machine, or mounted on it.
type folder struct{ root string }

func openFolder(root string) (folder, error) {
	f := folder{root: root}
	return f, os.MkdirAll(f.drafts(), 0o755)
}

// drafts lie beside the versions, so that one rename publishes.
func (f folder) drafts() string { return filepath.Join(f.root, versionsFolder) }

func (f folder) dir(version string) string { return filepath.Join(f.drafts(), version) }

func (f folder) publish(_ context.Context, draft string, m Manifest) (version string, err error) {
	data, err := encodeManifest(m)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(draft, manifestFile), data, 0o644); err != nil {
		return "", err
	}
	if err := durable.SyncTree(draft); err != nil {
		return "", err
	}
	for {
		names, err := f.list()
		if err != nil {
			return "", err
		}
		version := nextVersion(names)
		err = os.Rename(draft, f.dir(version))
		if errors.Is(err, fs.ErrExist) {
			continue // another process has just taken the number
		}
		if err != nil {
			return "", err
		}
		return version, durable.Sync(f.drafts())
	}
}

func nextVersion(names []string) string {
	last := 0
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(name, "v%d", &n); err == nil {
			last = max(last, n)
		}
	}
	return fmt.Sprintf("v%06d", last+1)
}

func (f folder) versions(context.Context) ([]string, error) { return f.list() }

func (f folder) list() (names []string, err error) {
	entries, err := os.ReadDir(f.drafts())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), draftPrefix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func (f folder) read(_ context.Context, version, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.dir(version), name))
}

// fetch only compares: the files are where they are read.
func (f folder) fetch(ctx context.Context, m Manifest) error { return m.verify(ctx, f.dir(m.Version)) }

func (f folder) remove(_ context.Context, version string, needed func() (bool, error)) error {
	aside := f.dir(hidden(version))
	if keep, err := f.putAside(version, aside, needed); keep || err != nil {
		return err
	}
	return errors.Join(durable.Sync(f.drafts()), os.RemoveAll(aside))
}

// putAside takes a version out of sight while the pointer stands still.
func (f folder) putAside(version, aside string, needed func() (bool, error)) (keep bool, err error) {
	lock, err := f.lockPointer()
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if keep, err = needed(); keep || err != nil {
		return keep, err
	}
	return false, os.Rename(f.dir(version), aside)
}

// settle has nothing to wait for: removals and moves take turns.
func (f folder) settle(context.Context, string) error { return nil }

func (f folder) tidy(_ context.Context, before time.Time) error {
	return removeDrafts(f.drafts(), before)
}

func (f folder) pointer(context.Context) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.root, pointerFile))
}

func (f folder) movePointer(ctx context.Context, change func([]byte) ([]byte, error)) error {
	lock, err := f.lockPointer()
	if err != nil {
		return err
	}
	defer lock.Close()
	old, err := f.pointer(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := change(old)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(f.root, pointerFile), data)
}

// lockPointer keeps others from moving the pointer until the file is closed, which is a matter
// of milliseconds.
func (f folder) lockPointer() (*os.File, error) {
	lock, err := os.Create(filepath.Join(f.root, pointerLock))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}
