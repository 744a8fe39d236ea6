// Package registry stores immutable versions of models and records which of them serve users.
//
//	ROOT/versions/v000001/...              the files of a version
//	ROOT/versions/v000001/manifest.json    their sizes and SHA-256 checksums
//	ROOT/CURRENT                           the serving state and its changes
//	ROOT/training/...                      checkpoints and other work in progress of training
//
// A version starts as a [Draft], a private folder. [Draft.Publish] assigns the next version number
// and makes the draft visible atomically; from then on its files never change. [Registry.Fetch]
// verifies each file against the manifest, so that what is loaded is what was published. A version
// that failed the promotion gate is published as refused, for the record.
//
// The serving state is a list of [Share]: usually one version for all users, or a split among
// several (A/B). [Registry.Promote], [Registry.PromoteShares] and [Registry.Rollback] replace it
// atomically; readers poll [Registry.Serving]. [VersionFor] assigns a user to a version.
// [Registry.Prune] removes old versions except those that are served or that a rollback returns to.
//
// A registry is a folder or a prefix of an S3-compatible bucket. Both implement the storage
// interface: the folder by renames and a file lock, the bucket by conditional writes, with a local
// cache of downloaded versions.
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

// Registry gives access to the versions at a location. It is safe for concurrent use, also by
// several processes.
type Registry struct {
	location string
	storage  storage
}

// ErrNoVersion is returned while no version has been promoted.
var ErrNoVersion = errors.New("no version published")

// storage holds the versions and the serving state.
type storage interface {
	// drafts is the local folder in which drafts are created.
	drafts() string
	// dir is the local folder of a version. fetch fills it.
	dir(version string) string
	// publish assigns the next version number to a draft and makes it visible atomically.
	publish(ctx context.Context, draft string, m Manifest) (version string, err error)
	// versions lists the published versions, oldest first.
	versions(ctx context.Context) ([]string, error)
	// read returns a small file of a version, such as its manifest, or fs.ErrNotExist.
	read(ctx context.Context, version, name string) ([]byte, error)
	// fetch makes the files of the manifest available in dir and verifies them.
	fetch(ctx context.Context, m Manifest) error
	// readState returns the contents of the state file, or fs.ErrNotExist.
	readState(ctx context.Context) ([]byte, error)
	// updateState atomically replaces the state file by the result of update, which receives
	// nil if there is none. update may be called repeatedly, until no other writer interferes.
	updateState(ctx context.Context, update func(old []byte) ([]byte, error)) error
	// remove removes a version unless inUse returns true. A promotion that was recorded before
	// is visible to inUse; one that is recorded later learns of the removal by awaitRemovals.
	remove(ctx context.Context, version string, inUse func() (bool, error)) error
	// awaitRemovals waits for removals of a version that may have missed the newest state.
	awaitRemovals(ctx context.Context, version string) error
	// removeAbandoned removes unfinished drafts, uploads and removals last changed before a time.
	removeAbandoned(ctx context.Context, before time.Time) error
}

// Open opens the registry in a folder and creates the folder if it is missing.
func Open(location string) (*Registry, error) {
	s, err := openFolderStorage(location)
	if err != nil {
		return nil, fmt.Errorf("open model registry %s: %w", location, err)
	}
	return &Registry{location: location, storage: s}, nil
}

// Connect opens the registry at a location: a folder, or a bucket in the form of bucket.Open,
// s3://bucket/prefix. For a bucket, downloaded versions, drafts and work in progress are kept in a
// subfolder of cache, by default in the user's cache folder.
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
			return nil, fmt.Errorf("find the cache folder: %w", err)
		}
		cache = filepath.Join(user, "genrec", "models")
	}
	// The hash includes the settings: the same name at another endpoint is another registry.
	s, err := openBucketStorage(b, filepath.Join(cache, fmt.Sprintf("%x", sha256.Sum256([]byte(location)))[:16]))
	if err != nil {
		return nil, err
	}
	// Fail early only for permanent errors: an unreachable server may come back.
	if _, err := s.readState(ctx); errors.Is(err, bucket.ErrRefused) {
		return nil, err
	}
	return &Registry{location: b.String(), storage: s}, nil
}

// withoutSettings removes the parts of a location that may contain a secret by mistake.
func withoutSettings(location string) string {
	location, _, _ = strings.Cut(location, "?")
	if at := strings.LastIndex(location, "@"); at >= 0 {
		return bucket.Scheme + "…" + location[at:]
	}
	return location
}

// versionName excludes path separators, so that the state file cannot refer to files outside the
// registry.
var versionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Dir returns the local folder of a version. Fetch fills it.
func (r *Registry) Dir(version string) string { return r.storage.dir(version) }

// Workspace returns the local folder for training checkpoints and other work in progress. It may
// not exist yet.
func (r *Registry) Workspace() string {
	return filepath.Join(filepath.Dir(r.storage.drafts()), "training")
}

// Versions lists all versions, oldest first, including refused ones.
func (r *Registry) Versions(ctx context.Context) ([]string, error) {
	names, err := r.storage.versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list versions in %s: %w", r.location, err)
	}
	return names, nil
}

// Manifest returns the manifest of a version, or fs.ErrNotExist.
func (r *Registry) Manifest(ctx context.Context, version string) (Manifest, error) {
	m, err := r.manifest(ctx, version)
	if err != nil {
		return m, fmt.Errorf("read the manifest of version %q in %s: %w", version, r.location, err)
	}
	return m, nil
}

func (r *Registry) manifest(ctx context.Context, version string) (Manifest, error) {
	if !versionName.MatchString(version) {
		return Manifest{}, fmt.Errorf("invalid version name %.64q: %w", version, fs.ErrNotExist)
	}
	data, err := r.storage.read(ctx, version, manifestFile)
	if err != nil {
		return Manifest{}, err
	}
	return decodeManifest(version, data)
}

// FindRun returns the version that a run published (see Run), or "".
func (r *Registry) FindRun(ctx context.Context, run string) (version string, err error) {
	names, err := r.Versions(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Backward(names) {
		m, err := r.Manifest(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // not pruned meanwhile
			return "", err
		}
		if err == nil && m.Run == run {
			return name, nil
		}
	}
	return "", nil
}

// Fetch returns a local folder with the files of a version, downloaded if necessary. Each file is
// verified against the manifest.
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

// ReadFile returns a small file of a version, verified against the manifest.
func (r *Registry) ReadFile(ctx context.Context, version, name string) ([]byte, error) {
	m, err := r.Manifest(ctx, version)
	if err != nil {
		return nil, err
	}
	data, err := m.readFile(name, func() ([]byte, error) { return r.storage.read(ctx, version, name) })
	if err != nil {
		return nil, fmt.Errorf("read %s of version %q in %s: %w", name, version, r.location, err)
	}
	return data, nil
}

// VersionInfo describes a version and its share of the users.
type VersionInfo struct {
	Manifest
	Bytes   int64  `json:"bytes"`             // total size of its files
	Percent int    `json:"percent"`           // share of the users that it serves
	Before  int    `json:"before,omitempty"`  // share before the last change, which a rollback restores
	Problem string `json:"problem,omitempty"` // why the manifest cannot be read; other fields are empty then
}

// List describes all versions, oldest first. A version with an unreadable manifest has a Problem.
func (r *Registry) List(ctx context.Context) (all []VersionInfo, err error) {
	versions, err := r.Versions(ctx)
	if err != nil {
		return nil, err
	}
	stack, err := r.servingStack(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		info, err := r.describe(ctx, version, stack)
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			info.Version, info.Problem = version, err.Error()
		}
		all = append(all, info)
	}
	return all, nil
}

// Describe describes the given versions, in their order.
func (r *Registry) Describe(ctx context.Context, versions ...string) (all []VersionInfo, err error) {
	stack, err := r.servingStack(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		info, err := r.describe(ctx, version, stack)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

func (r *Registry) describe(ctx context.Context, version string, stack [][]Share) (info VersionInfo, err error) {
	if info.Manifest, err = r.Manifest(ctx, version); err != nil {
		return info, err
	}
	info.Bytes = info.Manifest.Bytes()
	for i, percent := range []*int{&info.Percent, &info.Before} {
		if i >= len(stack) {
			break
		}
		for _, s := range stack[i] {
			if s.Version == version {
				*percent = s.Percent
			}
		}
	}
	return info, nil
}

func (r *Registry) servingStack(ctx context.Context) ([][]Share, error) {
	changes, err := r.Changes(ctx)
	return servingStack(changes), err
}
