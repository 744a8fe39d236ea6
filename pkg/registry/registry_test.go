package registry

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"genrec/pkg/testservers"
)

// newLocation returns the location of an empty registry: a folder, or a bucket in make test-real.
func newLocation(t *testing.T) string {
	t.Helper()
	if testservers.S3Available() {
		return testservers.RequireS3(t).Location("shop/models")
	}
	return filepath.Join(t.TempDir(), "models")
}

func open(t *testing.T) *Registry {
	t.Helper()
	r, err := Connect(t.Context(), newLocation(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func publish(t *testing.T, r *Registry, content string, options ...PublishOption) string {
	t.Helper()
	d, err := r.Draft()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	if err := os.WriteFile(filepath.Join(d.Dir, "file"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	version, err := d.Publish(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestPublishAndPromote(t *testing.T) {
	r := open(t)
	if _, err := r.Current(t.Context()); !errors.Is(err, ErrNoVersion) {
		t.Fatalf("empty registry: error %v, want ErrNoVersion", err)
	}
	first, second := publish(t, r, "one"), publish(t, r, "two")
	for _, version := range []string{first, second, first} { // forward, and back again
		if err := r.Promote(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Current(t.Context()); err != nil || got != version {
			t.Fatalf("current is %q (%v), want %q", got, err, version)
		}
	}
	dir, err := r.Fetch(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "file"))
	if err != nil || string(data) != "two" {
		t.Fatalf("version %s holds %q (%v), want what its draft held", second, data, err)
	}
	if err := r.Promote(t.Context(), "v999999"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("promote a version that does not exist: error %v, want ErrNotExist", err)
	}
}

func TestDraftIsNotListed(t *testing.T) {
	r := open(t)
	d, err := r.Draft()
	if err != nil {
		t.Fatal(err)
	}
	if names, _ := r.Versions(t.Context()); len(names) != 0 {
		t.Fatalf("a draft is listed as a version: %v", names)
	}
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a discarded draft is still there: %v", err)
	}
}

func TestConcurrentPublishersGetDistinctNumbers(t *testing.T) {
	r := open(t)
	const publishers = 8
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() { publish(t, r, "x") })
	}
	wg.Wait()
	names, err := r.Versions(t.Context())
	if err != nil || len(names) != publishers || !slices.IsSorted(names) {
		t.Fatalf("%d publishers made versions %v (%v)", publishers, names, err)
	}
}

// damage overwrites a stored file of a version, or removes it if data is nil.
func damage(t *testing.T, r *Registry, version, name string, data []byte) {
	t.Helper()
	var err error
	switch s := r.storage.(type) {
	case folderStorage:
		if path := filepath.Join(s.dir(version), name); data == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, data, 0o644)
		}
	case bucketStorage:
		if data == nil {
			err = s.bucket.Delete(t.Context(), objectName(version, name))
		} else {
			err = s.bucket.Put(t.Context(), objectName(version, name), data)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestBrokenVersionIsNotFetched(t *testing.T) {
	for _, c := range []struct{ name, file, data, want string }{
		{"changed", "file", "ONE", "file has SHA-256"},
		{"truncated", "file", "o", "file has 1 bytes"},
		{"lost", "file", "", "file"},
		{"without manifest", manifestFile, "", manifestFile},
		{"with a truncated manifest", manifestFile, `{"state":`, "decode " + manifestFile},
		{"with a path outside the version", manifestFile, `{"format":1,"state":"published","files":[{"name":"../x"}]}`, `invalid file name "../x"`},
		{"of a newer format", manifestFile, `{"format":3,"state":"published","files":[]}`, "unsupported format 3"},
		{"without a format", manifestFile, `{"state":"published","files":[]}`, "unsupported format 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t)
			version := publish(t, r, "one")
			var data []byte
			if c.data != "" {
				data = []byte(c.data)
			}
			damage(t, r, version, c.file, data)
			if _, err := r.Fetch(t.Context(), version); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), version) {
				t.Errorf("error %v, want one with %q and %q", err, version, c.want)
			}
		})
	}
}

// An additional file may change the meaning of others.
func TestFileOutsideManifestIsRejected(t *testing.T) {
	r, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	version := publish(t, r, "one")
	damage(t, r, version, "merges.txt", []byte{})
	if _, err := r.Fetch(t.Context(), version); err == nil || !strings.Contains(err.Error(), "merges.txt") {
		t.Errorf("error %v, want one with merges.txt", err)
	}
}

func TestReadFileVerifies(t *testing.T) {
	r := open(t)
	version := publish(t, r, "one")
	if data, err := r.ReadFile(t.Context(), version, "file"); err != nil || string(data) != "one" {
		t.Errorf("it holds %q (%v), want one", data, err)
	}
	if _, err := r.ReadFile(t.Context(), version, "nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: error %v, want ErrNotExist", err)
	}
	damage(t, r, version, "file", []byte("ONE"))
	if _, err := r.ReadFile(t.Context(), version, "file"); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a changed file: error %v, want one with its SHA-256", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"created":"2026-03-01T12:00:00Z","state":"published","files":[{"name":"a","bytes":1,"sha256":"00"}]}`))
	f.Add([]byte(`{"format":1,"state":"refused","files":[{"name":"../a"},{"name":"/etc/passwd"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest("v000001", data)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if path := filepath.Join("/root", file.Name); !strings.HasPrefix(path, "/root/") {
				t.Fatalf("the manifest %q refers to %s, outside the version", data, path)
			}
		}
	})
}

func TestFindRun(t *testing.T) {
	r := open(t)
	want := map[string]string{"x": "", "a": publish(t, r, "1", Run("a")), "b": publish(t, r, "2", Run("b"), Refused("worse"))}
	publish(t, r, "3")
	for run, version := range want {
		if got, err := r.FindRun(t.Context(), run); err != nil || got != version {
			t.Errorf("run %q made %q (%v), want %q", run, got, err, version)
		}
	}
}

func TestVersionOfAnOlderFormatIsFetched(t *testing.T) {
	r := open(t)
	version := publish(t, r, "one")
	stored, err := r.storage.read(t.Context(), version, manifestFile)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := decodeManifest(version, stored)
	if err != nil {
		t.Fatal(err)
	}
	manifest.Version, manifest.Format = "", oldestFormat
	data, err := encodeManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, r, version, manifestFile, data)
	if _, err := r.Fetch(t.Context(), version); err != nil {
		t.Errorf("a version of format %d cannot be fetched: %v", oldestFormat, err)
	}
}
