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
	stateFile      = "CURRENT"
	stateLock      = ".CURRENT.lock"
)

// folderStorage is a storage in a local or mounted folder.
type folderStorage struct{ root string }

func openFolderStorage(root string) (folderStorage, error) {
	f := folderStorage{root: root}
	return f, os.MkdirAll(f.drafts(), 0o755)
}

// drafts is the folder of the versions, so that a rename publishes a draft.
func (f folderStorage) drafts() string { return filepath.Join(f.root, versionsFolder) }

func (f folderStorage) dir(version string) string { return filepath.Join(f.drafts(), version) }

func (f folderStorage) publish(_ context.Context, draft string, m Manifest) (version string, err error) {
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
			continue // another process took the number
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

func (f folderStorage) versions(context.Context) ([]string, error) { return f.list() }

func (f folderStorage) list() (names []string, err error) {
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

func (f folderStorage) read(_ context.Context, version, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.dir(version), name))
}

// fetch only verifies: the files are already local.
func (f folderStorage) fetch(ctx context.Context, m Manifest) error {
	return m.verify(ctx, f.dir(m.Version))
}

func (f folderStorage) remove(_ context.Context, version string, inUse func() (bool, error)) error {
	aside := f.dir(removalName(version))
	if keep, err := f.moveAside(version, aside, inUse); keep || err != nil {
		return err
	}
	return errors.Join(durable.Sync(f.drafts()), os.RemoveAll(aside))
}

// moveAside hides a version that is not in use, under the lock of the state file.
func (f folderStorage) moveAside(version, aside string, inUse func() (bool, error)) (keep bool, err error) {
	lock, err := f.lockState()
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if keep, err = inUse(); keep || err != nil {
		return keep, err
	}
	return false, os.Rename(f.dir(version), aside)
}

// awaitRemovals has nothing to wait for: removals and state changes hold the same lock.
func (f folderStorage) awaitRemovals(context.Context, string) error { return nil }

func (f folderStorage) removeAbandoned(_ context.Context, before time.Time) error {
	return removeDrafts(f.drafts(), before)
}

func (f folderStorage) readState(context.Context) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.root, stateFile))
}

func (f folderStorage) updateState(ctx context.Context, update func([]byte) ([]byte, error)) error {
	lock, err := f.lockState()
	if err != nil {
		return err
	}
	defer lock.Close()
	old, err := f.readState(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := update(old)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(f.root, stateFile), data)
}

// lockState locks the state file until the returned file is closed. Locks are held for
// milliseconds.
func (f folderStorage) lockState() (*os.File, error) {
	lock, err := os.Create(filepath.Join(f.root, stateLock))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}
