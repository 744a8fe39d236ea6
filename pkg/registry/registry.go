// Package registry keeps immutable versions of an artifact, and a pointer to what of
// them is served:
//
//	ROOT/versions/v000001/...              the files of a version
//	ROOT/versions/v000001/manifest.json    their checksums, written last
//	ROOT/CURRENT                           what is served, and what was before
//	ROOT/training/...                      the work in progress of who makes versions
//
// Readers poll Serving or Current; every change is one atomic step.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
)

// Registry is a place of versions. It is safe for concurrent use, also by several
// processes.
type Registry struct {
	location string
	storage  storage
}

// ErrNoVersion says that nothing has been made current yet.
var ErrNoVersion = errors.New("no version published")

// storage is where versions are.
type storage interface {
	// drafts is the folder on this machine that drafts are made in.
	drafts() string
	// dir is the folder of a version on this machine, once fetch has filled it.
	dir(version string) string
	// publish takes the next number for a draft and puts it in place, whole or not at all.
	publish(ctx context.Context, draft string, m Manifest) (version string, err error)
	// versions lists those in place, oldest first.
	versions(ctx context.Context) ([]string, error)
	// manifest returns what publish was given; fs.ErrNotExist if there is no such version.
	manifest(ctx context.Context, version string) ([]byte, error)
	// fetch brings the files that the manifest names to dir.
	fetch(ctx context.Context, m Manifest) error
	// pointer returns what movePointer wrote last; fs.ErrNotExist if it never did.
	pointer(ctx context.Context) ([]byte, error)
	// movePointer replaces the pointer in one step by what change makes of it, nil while
	// there is none. No other change comes in between.
	movePointer(ctx context.Context, change func(old []byte) ([]byte, error)) error
}

// Open opens the registry in a folder, which is made where it is missing.
func Open(location string) (*Registry, error) {
	s, err := openFolder(location)
	if err != nil {
		return nil, fmt.Errorf("open model registry %s: %w", location, err)
	}
	return &Registry{location: location, storage: s}, nil
}

// versionName keeps the pointer from leading out of the registry.
var versionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Dir is the folder of a version on this machine, once Fetch has filled it.
func (r *Registry) Dir(version string) string { return r.storage.dir(version) }

// Workspace is a folder on this machine for the work in progress of who makes versions;
// it may not exist yet.
func (r *Registry) Workspace() string {
	return filepath.Join(filepath.Dir(r.storage.drafts()), "training")
}

// Versions lists the versions, oldest first, also those that were refused.
func (r *Registry) Versions(ctx context.Context) ([]string, error) {
	names, err := r.storage.versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the versions in %s: %w", r.location, err)
	}
	return names, nil
}

// Manifest tells of a version; the error is fs.ErrNotExist if there is no such.
func (r *Registry) Manifest(ctx context.Context, version string) (Manifest, error) {
	m, err := r.manifest(ctx, version)
	if err != nil {
		return m, fmt.Errorf("read the manifest of version %q in %s: %w", version, r.location, err)
	}
	return m, nil
}

func (r *Registry) manifest(ctx context.Context, version string) (Manifest, error) {
	if !versionName.MatchString(version) {
		return Manifest{}, fmt.Errorf("%.64q names no version: %w", version, fs.ErrNotExist)
	}
	data, err := r.storage.manifest(ctx, version)
	if err != nil {
		return Manifest{}, err
	}
	return decodeManifest(version, data)
}

// Fetch returns a folder on this machine with the files of a version, each compared with
// its checksum.
func (r *Registry) Fetch(ctx context.Context, version string) (dir string, err error) {
	m, err := r.Manifest(ctx, version)
	if err != nil {
		return "", err
	}
	if err := r.storage.fetch(ctx, m); err != nil {
		return "", fmt.Errorf("fetch version %q from %s: %w", version, r.location, err)
	}
	dir = r.storage.dir(version)
	if err := m.verify(ctx, dir); err != nil {
		return "", fmt.Errorf("version %q in %s is broken: %w", version, r.location, err)
	}
	return dir, nil
}
