// Package registry keeps immutable versions of an artifact in a folder, and a
// pointer to the current one:
//
//	ROOT/versions/v000001/...
//	ROOT/CURRENT            the name of the current version
//	ROOT/training/...       the work in progress of who makes versions
//
// Readers poll Current; every change is one atomic rename.
package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Registry is a folder of versions. It is safe for concurrent use, also by
// several processes.
type Registry struct{ root string }

// ErrNoVersion says that nothing has been published yet.
var ErrNoVersion = errors.New("no version published")

const (
	versionsFolder = "versions"
	currentFile    = "CURRENT"
	draftPrefix    = ".draft-"
	workFolder     = "training"
)

// Open makes the folder where it is missing.
func Open(root string) (*Registry, error) {
	if err := os.MkdirAll(filepath.Join(root, versionsFolder), 0o755); err != nil {
		return nil, fmt.Errorf("open model registry %s: %w", root, err)
	}
	return &Registry{root: root}, nil
}

// Current is the name of the current version, or ErrNoVersion.
func (r *Registry) Current() (string, error) {
	data, err := os.ReadFile(filepath.Join(r.root, currentFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("model registry %s: %w", r.root, ErrNoVersion)
	}
	if err != nil {
		return "", fmt.Errorf("read the current version: %w", err)
	}
	version := strings.TrimSpace(string(data))
	if !versionName.MatchString(version) {
		return "", fmt.Errorf("read the current version: %s holds %.40q, which names no version", filepath.Join(r.root, currentFile), version)
	}
	return version, nil
}

// versionName keeps the pointer from leading out of the registry.
var versionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Dir is the folder of a version.
func (r *Registry) Dir(version string) string {
	return filepath.Join(r.root, versionsFolder, version)
}

// Workspace is a folder for the work in progress of who makes versions; it may not
// exist yet.
func (r *Registry) Workspace() string { return filepath.Join(r.root, workFolder) }

// Versions lists the published versions, oldest first.
func (r *Registry) Versions() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(r.root, versionsFolder))
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), draftPrefix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Draft makes an empty folder for the files of a new version. A draft that is
// never published is invisible; Discard removes it.
func (r *Registry) Draft() (*Draft, error) {
	dir, err := os.MkdirTemp(filepath.Join(r.root, versionsFolder), draftPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a draft version: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // MkdirTemp lets nobody else read
		return nil, fmt.Errorf("make a draft version: %w", err)
	}
	return &Draft{registry: r, Dir: dir}, nil
}

// SetCurrent moves the pointer to a published version.
func (r *Registry) SetCurrent(version string) error {
	if _, err := os.Stat(r.Dir(version)); err != nil {
		return fmt.Errorf("make version %q current: %w", version, err)
	}
	path := filepath.Join(r.root, currentFile)
	if err := writeSynced(path+".new", version+"\n"); err != nil {
		return fmt.Errorf("make version %q current: %w", version, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("make version %q current: %w", version, err)
	}
	return syncPath(r.root)
}

// Draft is a version that is being written.
type Draft struct {
	Dir      string
	registry *Registry
}

// Publish gives the draft the next version number. It does not make it current.
func (d *Draft) Publish() (version string, err error) {
	if err := syncTree(d.Dir); err != nil {
		return "", fmt.Errorf("publish %s: %w", d.Dir, err)
	}
	for {
		version, err = d.registry.next()
		if err != nil {
			return "", err
		}
		err = os.Rename(d.Dir, d.registry.Dir(version))
		if errors.Is(err, fs.ErrExist) {
			continue // another process has just taken the number
		}
		if err != nil {
			return "", fmt.Errorf("publish version %q: %w", version, err)
		}
		return version, syncPath(filepath.Join(d.registry.root, versionsFolder))
	}
}

// Discard removes the draft; after Publish it does nothing.
func (d *Draft) Discard() error { return os.RemoveAll(d.Dir) }

func (r *Registry) next() (string, error) {
	names, err := r.Versions()
	if err != nil {
		return "", err
	}
	last := 0
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(name, "v%d", &n); err == nil {
			last = max(last, n)
		}
	}
	return fmt.Sprintf("v%06d", last+1), nil
}

func writeSynced(path, text string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
