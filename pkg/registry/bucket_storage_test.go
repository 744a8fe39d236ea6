package registry

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"genrec/pkg/bucket"
	"genrec/pkg/testservers"
)

func connect(t *testing.T, server *testservers.S3) (*Registry, bucketStorage) {
	t.Helper()
	r, err := Connect(t.Context(), server.Location("models"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return r, r.storage.(bucketStorage)
}

func bigDraft(t *testing.T, r *Registry) *Draft {
	t.Helper()
	d, err := r.Draft()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Discard() })
	for name, size := range map[string]int{"a": 10, "b": 150 << 20, "c": 10} {
		if err := os.WriteFile(filepath.Join(d.Dir, name), bytes.Repeat([]byte(name), size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// killDuringUpload kills the server once the upload of a version has begun.
func killDuringUpload(t *testing.T, server *testservers.S3, s bucketStorage) (killed <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			objects, err := s.bucket.List(t.Context(), versionsFolder+"/")
			if err == nil && slices.ContainsFunc(objects, func(o bucket.Object) bool { return strings.HasSuffix(o.Name, "/a") }) {
				server.Kill()
				return
			}
		}
	}()
	return done
}

func TestServerKilledDuringUpload(t *testing.T) {
	server := testservers.RequireS3(t)
	r, s := connect(t, server)
	draft := bigDraft(t, r)
	killed := killDuringUpload(t, server, s)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	go func() {
		<-killed
		time.Sleep(time.Second)
		giveUp()
	}()
	if version, err := draft.Publish(ctx); err == nil {
		t.Fatalf("published %s although the server was killed", version)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if versions, err := r.Versions(t.Context()); err != nil || len(versions) != 0 {
		t.Fatalf("a partial version is listed: %v (%v)", versions, err)
	}
	version, err := draft.Publish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if err := s.removeAbandoned(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	objects, err := s.bucket.List(t.Context(), versionsFolder+"/")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if of, _ := splitName(o.Name); of != version {
			t.Errorf("%s of an unfinished version was not removed", o.Name)
		}
	}
	if len(objects) != 5 { // three files, the claim and the manifest
		t.Errorf("%d objects are left of the version, want 5", len(objects))
	}
}

func TestUploadSurvivesServerRestart(t *testing.T) {
	server := testservers.RequireS3(t)
	r, s := connect(t, server)
	draft := bigDraft(t, r)
	killed := killDuringUpload(t, server, s)
	started := make(chan error, 1)
	go func() {
		<-killed
		started <- server.Start(t.Context())
	}()
	version, err := draft.Publish(t.Context())
	if err := errors.Join(err, <-started); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context(), version); err != nil {
		t.Error(err)
	}
}

func TestDownloadResumes(t *testing.T) {
	server := testservers.RequireS3(t)
	r, s := connect(t, server)
	version, err := bigDraft(t, r).Publish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	damage(t, r, version, "c", []byte("damaged"))
	if _, err := r.Fetch(t.Context(), version); err == nil || !strings.Contains(err.Error(), "c has 7 bytes") {
		t.Fatalf("fetch of a damaged file: error %v, want one with its size", err)
	}
	partial := filepath.Join(s.cachedVersions(), partialPrefix+version)
	before, err := os.Stat(filepath.Join(partial, "b"))
	if err != nil {
		t.Fatal(err)
	}
	damage(t, r, version, "c", bytes.Repeat([]byte("c"), 10))
	dir, err := r.Fetch(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(dir, "b"))
	if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("a complete file was downloaded again (%v)", err)
	}
}

func TestDamagedCacheIsDownloadedAgain(t *testing.T) {
	r, _ := connect(t, testservers.RequireS3(t))
	version := publish(t, r, "one")
	dir, err := r.Fetch(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("ONE"), 0o644); err != nil {
		t.Fatal(err)
	}
	if dir, err = r.Fetch(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(data) != "one" {
		t.Errorf("it holds %q (%v), want what was published", data, err)
	}
}

func TestCacheEvictsLeastRecentlyUsed(t *testing.T) {
	r, s := connect(t, testservers.RequireS3(t))
	var fetched []string
	for range maxCached + 2 {
		version := publish(t, r, "x")
		if _, err := r.Fetch(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		fetched = append(fetched, version)
		if _, err := r.Fetch(t.Context(), fetched[0]); err != nil { // keeps the first one recently used
			t.Fatal(err)
		}
	}
	cached, err := filepath.Glob(filepath.Join(s.cachedVersions(), "v*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range cached {
		cached[i] = filepath.Base(cached[i])
	}
	want := append([]string{fetched[0]}, fetched[len(fetched)-maxCached+1:]...)
	if !slices.Equal(cached, want) {
		t.Errorf("the cache holds %v, want %v", cached, want)
	}
}

// loseResponse proxies a server and drops the response of the first successful write of an object.
func loseResponse(t *testing.T, server *testservers.S3, object string) (location string) {
	t.Helper()
	target, err := url.Parse(server.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	var lost atomic.Bool
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // part of the signature
		},
		ModifyResponse: func(answer *http.Response) error {
			if answer.Request.Method == http.MethodPut && strings.HasSuffix(answer.Request.URL.Path, object) && lost.CompareAndSwap(false, true) {
				return errors.New("lost")
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(proxy.Close)
	t.Cleanup(func() {
		if !lost.Load() {
			t.Errorf("no response of a write of %s was lost", object)
		}
	})
	return strings.Replace(server.Location("models"), server.Endpoint(), proxy.URL, 1)
}

func TestLostResponseOfStateUpdate(t *testing.T) {
	r, err := Connect(t.Context(), loseResponse(t, testservers.RequireS3(t), stateFile), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	version := publish(t, r, "one")
	if err := r.Promote(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if changes, err := r.Changes(t.Context()); err != nil || len(changes) != 1 {
		t.Errorf("one promotion left the changes %v (%v)", changes, err)
	}
}

func TestLostResponseOfClaim(t *testing.T) {
	r, err := Connect(t.Context(), loseResponse(t, testservers.RequireS3(t), claimFile), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	version := publish(t, r, "one")
	if versions, err := r.Versions(t.Context()); err != nil || !slices.Equal(versions, []string{version}) {
		t.Errorf("one version was published, %s, but there are %v (%v)", version, versions, err)
	}
}

// The marks of killed removals neither affect a served version nor allow the promotion of another
// one.
func TestInterruptedRemoval(t *testing.T) {
	r, s := connect(t, testservers.RequireS3(t))
	served, old := publish(t, r, "served"), publish(t, r, "old")
	if err := r.PromoteShares(t.Context(), allUsers(served)); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{served, old} {
		if err := s.bucket.Put(t.Context(), objectName(version, removalMark+"killed"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Fetch(t.Context(), served); err != nil {
		t.Error(err)
	}
	started := time.Now()
	if err := r.PromoteShares(t.Context(), allUsers(old)); err == nil || !strings.Contains(err.Error(), "prune again") {
		t.Errorf("promoted a version that is being removed (%v)", err)
	}
	if waited := time.Since(started); waited < removalTimeout {
		t.Errorf("waited %v for the removal, want %v", waited, removalTimeout)
	}
	shortCtx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := r.PromoteShares(shortCtx, allUsers(old)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a shorter deadline: error %v, want DeadlineExceeded", err)
	}
	if current, err := r.Current(t.Context()); err != nil || current != served {
		t.Errorf("%q serves (%v), want still %s", current, err, served)
	}

	newest := publish(t, r, "newest")
	if removed, err := r.Prune(t.Context(), 1); err != nil || !slices.Contains(removed, old) {
		t.Errorf("removed %v (%v), want %s among them", removed, err, old)
	}
	if err := s.removeAbandoned(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{served, newest} {
		if err := r.PromoteShares(t.Context(), allUsers(version)); err != nil {
			t.Errorf("after a later prune: %v", err)
		}
	}
}

func TestErrorsOmitSecretsInLocations(t *testing.T) {
	for _, location := range []string{"s3://id:hunter2@b/models", "s3://b/models?secret=hunter2", "s3://"} {
		if _, err := Connect(t.Context(), location, t.TempDir()); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want one without the secret", location, err)
		}
	}
}
