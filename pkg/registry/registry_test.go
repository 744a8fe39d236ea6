package registry

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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

func publish(t *testing.T, r *Registry, content string) string {
	t.Helper()
	d, err := r.Draft()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	if err := os.WriteFile(filepath.Join(d.Dir, "file"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	version, err := d.Publish()
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestPublishThenPoint(t *testing.T) {
	r := open(t)
	if _, err := r.Current(); !errors.Is(err, ErrNoVersion) {
		t.Fatalf("empty registry: error %v, want ErrNoVersion", err)
	}
	first, second := publish(t, r, "one"), publish(t, r, "two")
	for _, version := range []string{first, second, first} { // forward, and back again
		if err := r.SetCurrent(version); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Current(); err != nil || got != version {
			t.Fatalf("current is %q (%v), want %q", got, err, version)
		}
	}
	data, err := os.ReadFile(filepath.Join(r.Dir(second), "file"))
	if err != nil || string(data) != "two" {
		t.Fatalf("version %s holds %q (%v), want what its draft held", second, data, err)
	}
	if err := r.SetCurrent("v999999"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("pointing to a version that does not exist: error %v, want ErrNotExist", err)
	}
}

func TestDraftIsInvisible(t *testing.T) {
	r := open(t)
	d, err := r.Draft()
	if err != nil {
		t.Fatal(err)
	}
	if names, _ := r.Versions(); len(names) != 0 {
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
	names, err := r.Versions()
	if err != nil || len(names) != publishers || !slices.IsSorted(names) {
		t.Fatalf("%d publishers made versions %v (%v)", publishers, names, err)
	}
}

func FuzzCurrent(f *testing.F) {
	for _, pointer := range []string{"v000001\n", "", "../../etc", "/", "v\x00", ".", ".."} {
		f.Add([]byte(pointer))
	}
	f.Fuzz(func(t *testing.T, pointer []byte) {
		root := t.TempDir()
		r, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, currentFile), pointer, 0o644); err != nil {
			t.Fatal(err)
		}
		version, err := r.Current()
		if err == nil && filepath.Dir(r.Dir(version)) != filepath.Join(root, versionsFolder) {
			t.Fatalf("the pointer %q leads out of the registry, to %s", pointer, r.Dir(version))
		}
	})
}
