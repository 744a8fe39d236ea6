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

// remote is a storage in a bucket. What is read of it passes through a cache on this
// machine:
//
//	CACHE/versions/v000001/...   versions that were read lately
//	CACHE/versions/.partial-…    one that is being downloaded
//	CACHE/drafts/.draft-…
type remote struct {
	bucket *bucket.Bucket
	cache  string
}

const (
	// claimFile is written before all else of a version: who writes it has the number.
	claimFile = ".claim"
	// removalMark begins the names of the marks of those who are about to remove a version.
	removalMark = ".removal-"
	// removalTakes is how long one between its mark and its end is waited for.
	removalTakes = 5 * time.Second
)

func openRemote(b *bucket.Bucket, cache string) (remote, error) {
	r := remote{bucket: b, cache: cache}
	return r, errors.Join(os.MkdirAll(r.drafts(), 0o755), os.MkdirAll(r.cached(), 0o755))
}

func (r remote) drafts() string { return filepath.Join(r.cache, "drafts") }

func (r remote) cached() string { return filepath.Join(r.cache, versionsFolder) }

func (r remote) dir(version string) string { return filepath.Join(r.cached(), version) }

// object names a file of a version in the bucket.
func object(version, name string) string { return path.Join(versionsFolder, version, name) }

// publish uploads the manifest last, so that a version is seen when it is whole.
func (r remote) publish(ctx context.Context, draft string, m Manifest) (version string, err error) {
	data, err := encodeManifest(m)
	if err != nil {
		return "", err
	}
	if version, err = r.claim(ctx); err != nil {
		return "", err
	}
	for _, f := range m.Files {
		if err := r.bucket.Upload(ctx, object(version, f.Name), filepath.Join(draft, filepath.FromSlash(f.Name))); err != nil {
			return "", err
		}
	}
	if err := r.bucket.Put(ctx, object(version, manifestFile), data); err != nil {
		return "", err
	}
	return version, nil
}

// claim takes the next number.
func (r remote) claim(ctx context.Context) (version string, err error) {
	text, err := sign("taken")
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
			name, _ := split(o.Name)
			names = append(names, name)
		}
		version = nextVersion(names)
		err = r.bucket.Replace(ctx, object(version, claimFile), text, "")
		if !errors.Is(err, bucket.ErrChanged) {
			return version, err
		}
	}
}

// sign says for people by whom something is done.
func sign(what string) ([]byte, error) {
	host, err := os.Hostname()
	return fmt.Appendf(nil, "%s by process %d on %s at %s\n", what, os.Getpid(), host, time.Now().UTC().Format(time.RFC3339)), err
}

// split is the inverse of object.
func split(object string) (version, name string) {
	version, name, _ = strings.Cut(strings.TrimPrefix(object, versionsFolder+"/"), "/")
	return version, name
}

func (r remote) versions(ctx context.Context) (names []string, err error) {
	objects, err := r.bucket.List(ctx, versionsFolder+"/")
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if version, name := split(o.Name); name == manifestFile {
			names = append(names, version)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (r remote) read(ctx context.Context, version, name string) ([]byte, error) {
	data, _, err := r.bucket.Get(ctx, object(version, name))
	return data, err
}

func (r remote) pointer(ctx context.Context) ([]byte, error) {
	data, _, err := r.bucket.Get(ctx, pointerFile)
	return data, err
}

func (r remote) movePointer(ctx context.Context, change func([]byte) ([]byte, error)) error {
	var written string
	for {
		old, tag, err := r.bucket.GetForReplace(ctx, pointerFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if written != "" && string(old) == written {
			return nil // it was ours: the answer to an attempt before was lost
		}
		data, err := change(old)
		if err != nil {
			return err
		}
		written = string(data)
		if err := r.bucket.Replace(ctx, pointerFile, data, tag); !errors.Is(err, bucket.ErrChanged) {
			return err
		}
		if err := backoff.Sleep(ctx, rand.N(100*time.Millisecond)); err != nil {
			return err
		}
	}
}

// remove leaves a mark before it asks whether the version is needed: who moves the pointer
// and then looks for marks is seen by that, or sees it. It takes the manifest away first, so
// that nobody sees a part of the version.
func (r remote) remove(ctx context.Context, version string, needed func() (bool, error)) error {
	text, err := sign("being removed")
	if err != nil {
		return err
	}
	mark := object(version, fmt.Sprintf("%s%016x", removalMark, rand.Uint64()))
	if err := r.bucket.Put(ctx, mark, text); err != nil {
		return err
	}
	if keep, err := needed(); keep || err != nil {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTakes)
		defer cancel()
		return errors.Join(err, r.bucket.Delete(late, mark))
	}
	if err := r.bucket.Delete(ctx, object(version, manifestFile)); err != nil {
		return err
	}
	objects, err := r.bucket.List(ctx, versionsFolder+"/"+version+"/")
	if err != nil {
		return err
	}
	return r.deleteAll(ctx, objects)
}

// settle waits until the marks are gone, but for those of removals that were killed long ago.
func (r remote) settle(ctx context.Context, version string) error {
	for deadline := time.Now().Add(removalTakes); ; {
		marks, err := r.marks(ctx, version)
		if err != nil || len(marks) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("version %q is being removed, or that was interrupted: prune again (%s)", version, marks[0].Name)
		}
		if err := backoff.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// marks are those of removals that go on, or may.
func (r remote) marks(ctx context.Context, version string) ([]bucket.Object, error) {
	marks, err := r.bucket.List(ctx, object(version, removalMark))
	return slices.DeleteFunc(marks, func(o bucket.Object) bool { return o.Changed.Before(time.Now().Add(-abandoned)) }), err
}

func isMark(o bucket.Object) bool {
	_, name := split(o.Name)
	return strings.HasPrefix(name, removalMark)
}

func (r remote) deleteAll(ctx context.Context, objects []bucket.Object) error {
	for _, o := range objects {
		if err := r.bucket.Delete(ctx, o.Name); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes the beginnings of versions that nobody goes on with, and the marks of removals
// that nobody does.
func (r remote) tidy(ctx context.Context, before time.Time) error {
	if err := removeDrafts(r.drafts(), before); err != nil {
		return err
	}
	objects, err := r.bucket.List(ctx, versionsFolder+"/")
	if err != nil {
		return err
	}
	parts := make(map[string][]bucket.Object)
	alive := make(map[string]bool)
	for _, o := range objects {
		version, name := split(o.Name)
		parts[version] = append(parts[version], o)
		alive[version] = alive[version] || name == manifestFile || !o.Changed.Before(before)
	}
	for version, objects := range parts {
		if alive[version] {
			objects = slices.DeleteFunc(objects, func(o bucket.Object) bool { return !isMark(o) || !o.Changed.Before(before) })
		}
		if err := r.deleteAll(ctx, objects); err != nil {
			return err
		}
	}
	return r.bucket.AbortUploads(ctx, versionsFolder+"/", before)
}
