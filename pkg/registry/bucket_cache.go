package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"genrec/pkg/backoff"
	"genrec/pkg/durable"
)

const (
	partialPrefix = ".partial-"
	cacheLock     = ".lock"
	maxCached     = 4 // versions: two that are served and their predecessors
)

// fetch downloads a version unless it is cached. An interrupted download resumes at the file
// where it stopped.
func (r bucketStorage) fetch(ctx context.Context, m Manifest) error {
	unlock, err := r.lockCache(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	dir := r.dir(m.Version)
	if m.verify(ctx, dir) != nil { // usually because it is not cached
		if err := r.download(ctx, m); err != nil {
			return err
		}
	}
	now := time.Now()
	if err := os.Chtimes(dir, now, now); err != nil {
		return err
	}
	return r.evict(m.Version)
}

func (r bucketStorage) download(ctx context.Context, m Manifest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	partial := filepath.Join(r.cachedVersions(), partialPrefix+m.Version)
	for _, f := range m.Files {
		if f.verify(ctx, partial) == nil {
			continue
		}
		path := filepath.Join(partial, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := r.bucket.Download(ctx, objectName(m.Version, f.Name), path); err != nil {
			return err
		}
		if err := f.verify(ctx, partial); err != nil {
			return err
		}
	}
	data, err := encodeManifest(m)
	if err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(partial, manifestFile), data); err != nil {
		return err
	}
	dir := r.dir(m.Version)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return durable.Rename(partial, dir)
}

// lockCache serializes changes of the cache among processes.
func (r bucketStorage) lockCache(ctx context.Context) (unlock func(), err error) {
	lock, err := os.Create(filepath.Join(r.cachedVersions(), cacheLock))
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = backoff.Sleep(ctx, 100*time.Millisecond) // another process may be downloading for minutes
			if err == nil {
				continue
			}
		}
		if err != nil {
			lock.Close()
			return nil, fmt.Errorf("wait for the cache %s: %w", r.cache, err)
		}
		return func() { lock.Close() }, nil
	}
}

// evict removes the least recently used versions and partial downloads of other versions.
func (r bucketStorage) evict(fetched string) error {
	entries, err := os.ReadDir(r.cachedVersions())
	if err != nil {
		return err
	}
	var versions []os.FileInfo
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, partialPrefix) && name != partialPrefix+fetched:
			if err := os.RemoveAll(filepath.Join(r.cachedVersions(), name)); err != nil {
				return err
			}
		case e.IsDir():
			info, err := e.Info()
			if err != nil {
				return err
			}
			versions = append(versions, info)
		}
	}
	slices.SortFunc(versions, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, old := range versions[min(len(versions), maxCached):] {
		if err := os.RemoveAll(filepath.Join(r.cachedVersions(), old.Name())); err != nil {
			return err
		}
	}
	return nil
}
