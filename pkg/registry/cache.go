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
	cachedAtMost  = 4 // versions: two that are served, and those before them
)

// fetch downloads a version unless it is in the cache. A download that was cut off goes on
// with the file that it was at.
func (r remote) fetch(ctx context.Context, m Manifest) error {
	unlock, err := r.lockCache(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	dir := r.dir(m.Version)
	if m.verify(ctx, dir) != nil { // most often because it is not there
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

func (r remote) download(ctx context.Context, m Manifest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	partial := filepath.Join(r.cached(), partialPrefix+m.Version)
	for _, f := range m.Files {
		if f.verify(ctx, partial) == nil {
			continue
		}
		path := filepath.Join(partial, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := r.bucket.Download(ctx, object(m.Version, f.Name), path); err != nil {
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

// lockCache lets one process at a time change the cache.
func (r remote) lockCache(ctx context.Context) (unlock func(), err error) {
	lock, err := os.Create(filepath.Join(r.cached(), cacheLock))
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = backoff.Sleep(ctx, 100*time.Millisecond) // another one downloads, which may take minutes
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

// evict drops what was read longest ago, and beginnings of other versions.
func (r remote) evict(fetched string) error {
	entries, err := os.ReadDir(r.cached())
	if err != nil {
		return err
	}
	var whole []os.FileInfo
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, partialPrefix) && name != partialPrefix+fetched:
			if err := os.RemoveAll(filepath.Join(r.cached(), name)); err != nil {
				return err
			}
		case e.IsDir():
			info, err := e.Info()
			if err != nil {
				return err
			}
			whole = append(whole, info)
		}
	}
	slices.SortFunc(whole, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, old := range whole[min(len(whole), cachedAtMost):] {
		if err := os.RemoveAll(filepath.Join(r.cached(), old.Name())); err != nil {
			return err
		}
	}
	return nil
}
