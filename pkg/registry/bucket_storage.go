package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/bucket"
)

// bucketStorage is a storage in a bucket, with a local cache:
//
//	CACHE/versions/v000001/...   recently used versions
//	CACHE/versions/.partial-…    a download in progress
//	CACHE/drafts/.draft-…        drafts
type bucketStorage struct {
	bucket *bucket.Bucket
	cache  string
}

const (
	// claimFile is the first object of a version; the process that creates it owns the number.
	claimFile = ".claim"
	// removalMark is the name prefix of the objects that announce a removal.
	removalMark = ".removal-"
	// removalTimeout bounds the wait for an announced removal.
	removalTimeout = 5 * time.Second
)

func openBucketStorage(b *bucket.Bucket, cache string) (bucketStorage, error) {
	r := bucketStorage{bucket: b, cache: cache}
	return r, errors.Join(os.MkdirAll(r.drafts(), 0o755), os.MkdirAll(r.cachedVersions(), 0o755))
}

func (r bucketStorage) drafts() string { return filepath.Join(r.cache, "drafts") }

func (r bucketStorage) cachedVersions() string { return filepath.Join(r.cache, versionsFolder) }

func (r bucketStorage) dir(version string) string { return filepath.Join(r.cachedVersions(), version) }

// objectName is the name of a version's file in the bucket.
func objectName(version, name string) string { return path.Join(versionsFolder, version, name) }

// publish uploads the manifest last: a version without manifest is not listed.
func (r bucketStorage) publish(ctx context.Context, draft string, m Manifest) (version string, err error) {
	data, err := encodeManifest(m)
	if err != nil {
		return "", err
	}
	if version, err = r.claim(ctx); err != nil {
		return "", err
	}
	for _, f := range m.Files {
		if err := r.bucket.Upload(ctx, objectName(version, f.Name), filepath.Join(draft, filepath.FromSlash(f.Name))); err != nil {
			return "", err
		}
	}
	if err := r.bucket.Put(ctx, objectName(version, manifestFile), data); err != nil {
		return "", err
	}
	return version, nil
}

// claim reserves the next version number.
func (r bucketStorage) claim(ctx context.Context) (version string, err error) {
	text, err := signature("claimed")
	if err != nil {
		return "", err
	}
	for {
		objects, err := r.bucket.List(ctx, versionsFolder+"/")
		if err != nil {
			return "", err
		}
		var names []string
		for _, o := range objects {
			name, _ := splitName(o.Name)
			names = append(names, name)
		}
		version = nextVersion(names)
		err = r.bucket.Replace(ctx, objectName(version, claimFile), text, "")
		if !errors.Is(err, bucket.ErrChanged) {
			return version, err
		}
	}
}

// signature identifies this process in an object, for people who inspect the bucket.
func signature(what string) ([]byte, error) {
	host, err := os.Hostname()
	return fmt.Appendf(nil, "%s by process %d on %s at %s\n", what, os.Getpid(), host, time.Now().UTC().Format(time.RFC3339)), err
}

// splitName is the inverse of objectName.
func splitName(object string) (version, name string) {
	version, name, _ = strings.Cut(strings.TrimPrefix(object, versionsFolder+"/"), "/")
	return version, name
}

func (r bucketStorage) versions(ctx context.Context) (names []string, err error) {
	objects, err := r.bucket.List(ctx, versionsFolder+"/")
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if version, name := splitName(o.Name); name == manifestFile {
			names = append(names, version)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (r bucketStorage) read(ctx context.Context, version, name string) ([]byte, error) {
	data, _, err := r.bucket.Get(ctx, objectName(version, name))
	return data, err
}

func (r bucketStorage) readState(ctx context.Context) ([]byte, error) {
	data, _, err := r.bucket.Get(ctx, stateFile)
	return data, err
}

func (r bucketStorage) updateState(ctx context.Context, update func([]byte) ([]byte, error)) error {
	var written string
	for {
		old, tag, err := r.bucket.GetForReplace(ctx, stateFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if written != "" && string(old) == written {
			return nil // our write succeeded, but its response was lost
		}
		data, err := update(old)
		if err != nil {
			return err
		}
		written = string(data)
		if err := r.bucket.Replace(ctx, stateFile, data, tag); !errors.Is(err, bucket.ErrChanged) {
			return err
		}
		if err := backoff.Sleep(ctx, rand.N(100*time.Millisecond)); err != nil {
			return err
		}
	}
}

// remove announces the removal by a mark before it checks whether the version is in use, and a
// promotion updates the state before it looks for marks: at least one of the two sees the other.
// The manifest is deleted first, so that no partial version is listed.
func (r bucketStorage) remove(ctx context.Context, version string, inUse func() (bool, error)) error {
	text, err := signature("being removed")
	if err != nil {
		return err
	}
	mark := objectName(version, fmt.Sprintf("%s%016x", removalMark, rand.Uint64()))
	if err := r.bucket.Put(ctx, mark, text); err != nil {
		return err
	}
	if keep, err := inUse(); keep || err != nil {
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTimeout)
		defer cancel()
		return errors.Join(err, r.bucket.Delete(cleanupCtx, mark))
	}
	if err := r.bucket.Delete(ctx, objectName(version, manifestFile)); err != nil {
		return err
	}
	objects, err := r.bucket.List(ctx, versionsFolder+"/"+version+"/")
	if err != nil {
		return err
	}
	return r.deleteAll(ctx, objects)
}

// awaitRemovals waits until all marks are gone, except those of removals killed long ago.
func (r bucketStorage) awaitRemovals(ctx context.Context, version string) error {
	for deadline := time.Now().Add(removalTimeout); ; {
		marks, err := r.marks(ctx, version)
		if err != nil || len(marks) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("version %q is being removed, or its removal was interrupted: prune again (%s)", version, marks[0].Name)
		}
		if err := backoff.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// marks lists the marks of removals that may be in progress.
func (r bucketStorage) marks(ctx context.Context, version string) ([]bucket.Object, error) {
	marks, err := r.bucket.List(ctx, objectName(version, removalMark))
	return slices.DeleteFunc(marks, func(o bucket.Object) bool { return o.Changed.Before(time.Now().Add(-abandonedAfter)) }), err
}

func isMark(o bucket.Object) bool {
	_, name := splitName(o.Name)
	return strings.HasPrefix(name, removalMark)
}

func (r bucketStorage) deleteAll(ctx context.Context, objects []bucket.Object) error {
	for _, o := range objects {
		if err := r.bucket.Delete(ctx, o.Name); err != nil {
			return err
		}
	}
	return nil
}

// removeAbandoned removes abandoned drafts, unfinished versions, marks and multipart uploads.
func (r bucketStorage) removeAbandoned(ctx context.Context, before time.Time) error {
	if err := removeDrafts(r.drafts(), before); err != nil {
		return err
	}
	objects, err := r.bucket.List(ctx, versionsFolder+"/")
	if err != nil {
		return err
	}
	objectsOf := make(map[string][]bucket.Object)
	active := make(map[string]bool)
	for _, o := range objects {
		version, name := splitName(o.Name)
		objectsOf[version] = append(objectsOf[version], o)
		active[version] = active[version] || name == manifestFile || !o.Changed.Before(before)
	}
	for version, objects := range objectsOf {
		if active[version] {
			objects = slices.DeleteFunc(objects, func(o bucket.Object) bool { return !isMark(o) || !o.Changed.Before(before) })
		}
		if err := r.deleteAll(ctx, objects); err != nil {
			return err
		}
	}
	return r.bucket.AbortUploads(ctx, versionsFolder+"/", before)
}
