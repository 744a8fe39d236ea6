package registry

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"genrec/pkg/realservers/s3test"
)

// place is the location of an empty registry: a folder, or, for make test-real, a bucket.
func place(t *testing.T) string {
	t.Helper()
	if s3test.Real() {
		return s3test.Start(t).Location("shop/models")
	}
	return filepath.Join(t.TempDir(), "models")
}

func open(t *testing.T) *Registry {
	t.Helper()
	r, err := Connect(t.Context(), place(t), t.TempDir())
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

func TestPublishThenPoint(t *testing.T) {
	r := open(t)
	if _, err := r.Current(t.Context()); !errors.Is(err, ErrNoVersion) {
		t.Fatalf("empty registry: error %v, want ErrNoVersion", err)
	}
	first, second := publish(t, r, "one"), publish(t, r, "two")
	for _, version := range []string{first, second, first} { // forward, and back again
		if err := r.SetCurrent(t.Context(), version); err != nil {
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
	if err := r.SetCurrent(t.Context(), "v999999"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("pointing to a version that does not exist: error %v, want ErrNotExist", err)
	}
}

func TestDraftIsInvisible(t *testing.T) {
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

func TestPublishersShareTheNumbers(t *testing.T) {
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

// damage writes a file of a version where it is stored, or, without data, removes it.
func damage(t *testing.T, r *Registry, version, name string, data []byte) {
	t.Helper()
	var err error
	switch s := r.storage.(type) {
	case folder:
		if path := filepath.Join(s.dir(version), name); data == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, data, 0o644)
		}
	case remote:
		if data == nil {
			err = s.bucket.Delete(t.Context(), object(version, name))
		} else {
			err = s.bucket.Put(t.Context(), object(version, name), data)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestBrokenVersionIsNotFetched(t *testing.T) {
	for _, c := range []struct{ name, file, data, want string }{
		{"changed", "file", "ONE", "file has the SHA-256"},
		{"cut off", "file", "o", "file has 1 bytes"},
		{"lost", "file", "", "file"},
		{"without manifest", manifestFile, "", manifestFile},
		{"with half a manifest", manifestFile, `{"state":`, "decode " + manifestFile},
		{"with a manifest that leads out", manifestFile, `{"format":1,"state":"published","files":[{"name":"../x"}]}`, `"../x" is no file`},
		{"of a format to come", manifestFile, `{"format":2,"state":"published","files":[]}`, "its format is 2"},
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

// A file too many may be one that changes what the others mean.
func TestFileOutsideTheManifestIsRefused(t *testing.T) {
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

func TestSmallFilesAreComparedToo(t *testing.T) {
	r := open(t)
	version := publish(t, r, "one")
	if data, err := r.ReadFile(t.Context(), version, "file"); err != nil || string(data) != "one" {
		t.Errorf("it holds %q (%v), want one", data, err)
	}
	if _, err := r.ReadFile(t.Context(), version, "nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that no version has: error %v, want ErrNotExist", err)
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
				t.Fatalf("the manifest %q leads out of the version, to %s", data, path)
			}
		}
	})
}

func TestMadeByFindsWhatARunMade(t *testing.T) {
	r := open(t)
	want := map[string]string{"x": "", "a": publish(t, r, "1", Run("a")), "b": publish(t, r, "2", Run("b"), Refused("worse"))}
	publish(t, r, "3")
	for run, version := range want {
		if got, err := r.MadeBy(t.Context(), run); err != nil || got != version {
			t.Errorf("run %q made %q (%v), want %q", run, got, err, version)
		}
	}
}
