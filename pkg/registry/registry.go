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
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"genrec/pkg/bucket"
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
	// read returns a small file of a version, such as its manifest; fs.ErrNotExist if there
	// is none.
	read(ctx context.Context, version, name string) ([]byte, error)
	// fetch brings the files that the manifest names to dir, and compares them with it.
	fetch(ctx context.Context, m Manifest) error
	// pointer returns what movePointer wrote last; fs.ErrNotExist if it never did.
	pointer(ctx context.Context) ([]byte, error)
	// movePointer replaces the pointer in one step by what change makes of it, nil while
	// there is none. No other change comes in between.
	movePointer(ctx context.Context, change func(old []byte) ([]byte, error)) error
	// remove removes a version, unless it is needed. Whoever has moved the pointer to it
	// before is seen by needed; who does so later is told by settle that it is gone.
	remove(ctx context.Context, version string, needed func() (bool, error)) error
	// settle waits for the end of removals of a version that may not have seen the pointer's
	// last move.
	settle(ctx context.Context, version string) error
	// tidy removes unfinished versions that nobody has gone on with since a time.
	tidy(ctx context.Context, before time.Time) error
}

// Open opens the registry in a folder, which is made where it is missing.
func Open(location string) (*Registry, error) {
	s, err := openFolder(location)
	if err != nil {
		return nil, fmt.Errorf("open model registry %s: %w", location, err)
	}
	return &Registry{location: location, storage: s}, nil
}

// Connect opens the registry at a location: a folder, or s3://bucket/prefix, which
// bucket.Open tells more of. What is read of a bucket is kept in a folder of the cache, and
// so is the work in progress; without a cache that is one of the user's.
func Connect(ctx context.Context, location, cache string) (*Registry, error) {
	if !strings.HasPrefix(location, bucket.Scheme) {
		return Open(location)
	}
	r, err := openBucket(ctx, location, cache)
	if err != nil {
		return nil, fmt.Errorf("open model registry %s: %w", withoutSettings(location), err)
	}
	return r, nil
}

func openBucket(ctx context.Context, location, cache string) (*Registry, error) {
	b, err := bucket.Open(ctx, location)
	if err != nil {
		return nil, err
	}
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find a folder for the cache: %w", err)
		}
		cache = filepath.Join(user, "genrec", "models")
	}
	// Of the whole location: another endpoint is another place.
	s, err := openRemote(b, filepath.Join(cache, fmt.Sprintf("%x", sha256.Sum256([]byte(location)))[:16]))
	if err != nil {
		return nil, err
	}
	// A server that is away may come back; one that refuses us will go on to.
	if _, err := s.pointer(ctx); errors.Is(err, bucket.ErrRefused) {
		return nil, err
	}
	return &Registry{location: b.String(), storage: s}, nil
}

// withoutSettings leaves out what may hold a secret by mistake.
func withoutSettings(location string) string {
	location, _, _ = strings.Cut(location, "?")
	if at := strings.LastIndex(location, "@"); at >= 0 {
		return bucket.Scheme + "…" + location[at:]
	}
	return location
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
	data, err := r.storage.read(ctx, version, manifestFile)
	if err != nil {
		return Manifest{}, err
	}
	return decodeManifest(version, data)
}

// MadeBy finds the version that was published as made by a run; "" if there is none.
func (r *Registry) MadeBy(ctx context.Context, run string) (version string, err error) {
	names, err := r.Versions(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Backward(names) {
		m, err := r.Manifest(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a Prune may have been faster
			return "", err
		}
		if err == nil && m.Run == run {
			return name, nil
		}
	}
	return "", nil
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
	return r.storage.dir(version), nil
}

// ReadFile returns a small file of a version, compared with its checksum.
func (r *Registry) ReadFile(ctx context.Context, version, name string) ([]byte, error) {
	m, err := r.Manifest(ctx, version)
	if err != nil {
		return nil, err
	}
	data, err := m.read(name, func() ([]byte, error) { return r.storage.read(ctx, version, name) })
	if err != nil {
		return nil, fmt.Errorf("read %s of version %q in %s: %w", name, version, r.location, err)
	}
	return data, nil
}
