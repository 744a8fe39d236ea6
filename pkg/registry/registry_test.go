package registry

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func open(t *testing.T) *Registry {
	t.Helper()
	r, err := Open(filepath.Join(t.TempDir(), "models"))
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

func TestBrokenVersionIsNotFetched(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
		want  string
	}{
		{"changed", func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), []byte("ONE"), 0o644) }, "file has the SHA-256"},
		{"cut off", func(dir string) error { return os.Truncate(filepath.Join(dir, "file"), 1) }, "file has 1 bytes"},
		{"lost", func(dir string) error { return os.Remove(filepath.Join(dir, "file")) }, "file is missing"},
		{"added to", func(dir string) error { return os.WriteFile(filepath.Join(dir, "merges.txt"), nil, 0o644) }, "merges.txt"},
		{"without manifest", func(dir string) error { return os.Remove(filepath.Join(dir, manifestFile)) }, manifestFile},
		{"with half a manifest", func(dir string) error { return os.Truncate(filepath.Join(dir, manifestFile), 20) }, "decode " + manifestFile},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t)
			version := publish(t, r, "one")
			if _, err := r.Fetch(t.Context(), version); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(r.Dir(version)); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Fetch(t.Context(), version); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), version) {
				t.Errorf("error %v, want one with %q and %q", err, version, c.want)
			}
		})
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"created":"2026-03-01T12:00:00Z","state":"published","files":[{"name":"a","bytes":1,"sha256":"00"}]}`))
	f.Add([]byte(`{"state":"refused","files":[{"name":"../a"},{"name":"/etc/passwd"}]}`))
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
