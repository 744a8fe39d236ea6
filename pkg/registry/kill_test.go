package registry

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const publisherVariable = "GENREC_TEST_PUBLISHER"

// TestPublisher is the subprocess that TestKilledPublisher kills.
func TestPublisher(t *testing.T) {
	location := os.Getenv(publisherVariable)
	if location == "" {
		t.Skip("run by TestKilledPublisher in a subprocess")
	}
	r, err := Connect(t.Context(), location, os.Getenv(publisherVariable+"_CACHE"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		d, err := r.Draft()
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			data := bytes.Repeat([]byte{byte(i)}, 1<<20)
			if err := os.WriteFile(filepath.Join(d.Dir, fmt.Sprint(i)), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		version, err := d.Publish(t.Context())
		if err == nil {
			err = r.Promote(t.Context(), version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Whenever the publisher is killed, listed and served versions are complete, and leftovers are
// removed later.
func TestKilledPublisher(t *testing.T) {
	location, cache := newLocation(t), t.TempDir()
	r, err := Connect(t.Context(), location, cache)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	count := func() int {
		versions, err := r.Versions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(versions)
	}
	for range 10 {
		child := exec.Command(os.Args[0], "-test.run=^TestPublisher$")
		child.Env = append(os.Environ(), publisherVariable+"="+location, publisherVariable+"_CACHE="+cache)
		before := count()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); count() == before && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if count() == before {
			t.Error("no version was published within a minute")
		}
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond) // while it works on the next versions
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the publisher ended before it was killed")
		}
		if current, err := r.Current(t.Context()); err == nil {
			if _, err := r.Fetch(t.Context(), current); err != nil {
				t.Errorf("served version after a kill: %v", err)
			}
		}
	}
	versions, err := r.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range versions {
		if _, err := r.Fetch(t.Context(), version); err != nil {
			t.Errorf("after kills: %v", err)
		}
	}
	if err := r.storage.removeAbandoned(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if drafts, err := filepath.Glob(filepath.Join(r.storage.drafts(), draftPrefix+"*")); err != nil || len(drafts) > 0 {
		t.Errorf("drafts of killed processes are left: %v (%v)", drafts, err)
	}
	t.Logf("%d versions were published between 10 kills", len(versions))
}
