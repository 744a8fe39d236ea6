package bucket

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"genrec/pkg/testservers"
)

func TestLocations(t *testing.T) {
	for _, c := range []struct{ location, name, prefix, endpoint, region, wantErr string }{
		{location: "s3://b", name: "b"},
		{location: "s3://b/", name: "b"},
		{location: "s3://b/a/c/?region=eu-west-1", name: "b", prefix: "a/c", region: "eu-west-1"},
		{location: "s3://b/a?endpoint=https://host:9000", name: "b", prefix: "a", endpoint: "https://host:9000"},
		{location: "s3://", wantErr: "want a location such as s3://bucket/prefix"},
		{location: "gs://b", wantErr: "want a location such as s3://bucket/prefix"},
		{location: "s3://b#c", wantErr: "want a location such as s3://bucket/prefix"},
		{location: "s3://id:hunter2@b", wantErr: "must not contain credentials"},
		{location: "s3://id:hunter2@b:x", wantErr: "invalid URL"},
		{location: "s3://b?endpoint=host:9000", wantErr: "want an endpoint such as"},
		{location: "s3://b?endpoint=http://id:hunter2@host", wantErr: "want an endpoint such as"},
		{location: "s3://b?endpoint=http://a&endpoint=http://b", wantErr: "each once"},
		{location: "s3://b?secret_key=hunter2", wantErr: `invalid parameter "secret_key"`},
	} {
		b, endpoint, region, err := parse(c.location)
		switch {
		case c.wantErr != "":
			if err == nil || !strings.Contains(err.Error(), c.wantErr) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: error %v, want one with %q, and without the secret", c.location, err, c.wantErr)
			}
		case err != nil || b.name != c.name || b.prefix != c.prefix || endpoint != c.endpoint || region != c.region:
			t.Errorf("%s: %+v, endpoint %q, region %q (%v)", c.location, b, endpoint, region, err)
		}
	}
}

func open(t *testing.T) *Bucket {
	t.Helper()
	b, err := Open(t.Context(), testservers.RequireS3(t).Location("a/b"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReplaceIsConditional(t *testing.T) {
	b := open(t)
	if _, _, err := b.Get(t.Context(), "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing object: error %v, want ErrNotExist", err)
	}
	if err := b.Replace(t.Context(), "x", []byte("1"), ""); err != nil {
		t.Fatal(err)
	}
	if err := b.Replace(t.Context(), "x", []byte("2"), ""); !errors.Is(err, ErrChanged) {
		t.Fatalf("existing object: error %v, want ErrChanged", err)
	}
	_, old, err := b.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Replace(t.Context(), "x", []byte("3"), old); err != nil {
		t.Fatal(err)
	}
	if err := b.Replace(t.Context(), "x", []byte("4"), old); !errors.Is(err, ErrChanged) {
		t.Fatalf("old tag: error %v, want ErrChanged", err)
	}
	if data, _, err := b.Get(t.Context(), "x"); err != nil || string(data) != "3" {
		t.Fatalf("it holds %q (%v), want 3", data, err)
	}
}

func TestConcurrentReplace(t *testing.T) {
	b := open(t)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch err := b.Replace(t.Context(), "x", []byte("mine"), ""); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrChanged):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 16 writers succeeded, want 1", won.Load())
	}
}

// The large file takes several parts.
func TestUploadAndDownload(t *testing.T) {
	b := open(t)
	for name, size := range map[string]int{"empty": 0, "small": 1000, "folder/large": 2*partBytes + 12345} {
		data := make([]byte, size)
		if _, err := rand.Read(data); err != nil {
			t.Fatal(err)
		}
		source, target := filepath.Join(t.TempDir(), "source"), filepath.Join(t.TempDir(), "target")
		if err := os.WriteFile(source, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := b.Upload(t.Context(), name, source); err != nil {
			t.Fatal(err)
		}
		if err := b.Download(t.Context(), name, target); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: uploaded %d bytes, downloaded %d different ones (%v)", name, size, len(got), err)
		}
	}
	objects, err := b.List(t.Context(), "f")
	if err != nil || len(objects) != 1 || objects[0].Name != "folder/large" || objects[0].Bytes != 2*partBytes+12345 || time.Since(objects[0].Changed) > time.Minute {
		t.Errorf("the list is %+v (%v)", objects, err)
	}
	if err := b.Delete(t.Context(), "small"); err != nil {
		t.Fatal(err)
	}
	objects, err = b.List(t.Context(), "")
	if names := names(objects); err != nil || !slices.Equal(names, []string{"empty", "folder/large"}) {
		t.Errorf("after a deletion the list is %v (%v)", names, err)
	}
}

func names(objects []Object) (names []string) {
	for _, o := range objects {
		names = append(names, o.Name)
	}
	return names
}

func TestAbortUploads(t *testing.T) {
	b := open(t)
	if _, err := b.client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &b.name, Key: aws.String(b.key("half"))}); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		list, err := b.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &b.name})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Uploads)
	}
	if err := b.AbortUploads(t.Context(), "", time.Now().Add(-time.Hour)); err != nil || count() != 1 {
		t.Fatalf("a new upload: %d are left (%v), want 1", count(), err)
	}
	if err := b.AbortUploads(t.Context(), "", time.Now().Add(time.Hour)); err != nil || count() != 0 {
		t.Errorf("%d are left (%v), want none", count(), err)
	}
}

func TestRefusedErrorsHaveHints(t *testing.T) {
	server := testservers.RequireS3(t)
	for _, c := range []struct {
		name           string
		access, secret string
		location, hint string
	}{
		{"wrong secret", testservers.S3AccessKey, "hunter2", server.Location("a"), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		{"unknown user", "somebody", "hunter2", server.Location("a"), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		{"no bucket", testservers.S3AccessKey, testservers.S3SecretKey, strings.Replace(server.Location("a"), testservers.S3Bucket, "elsewhere", 1), `bucket "elsewhere" does not exist`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", c.access)
			t.Setenv("AWS_SECRET_ACCESS_KEY", c.secret)
			b, err := Open(t.Context(), c.location)
			if err != nil {
				t.Fatal(err)
			}
			err = b.Put(t.Context(), "x", nil)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.hint) || strings.Contains(err.Error(), c.secret) {
				t.Errorf("error %v, want ErrRefused with %q, and without the secret", err, c.hint)
			}
		})
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := Open(t.Context(), server.Location("a")); err == nil || !strings.Contains(err.Error(), "no credentials: set AWS_ACCESS_KEY_ID") {
		t.Errorf("without credentials: error %v, want one with a hint", err)
	}
}

// openServer opens a bucket of a fake server.
func openServer(t *testing.T, handler http.HandlerFunc) *Bucket {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	b, err := Open(t.Context(), "s3://b?endpoint="+server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Some servers reject conditional writes.
func TestServerWithoutConditionalWrites(t *testing.T) {
	var stored []byte
	b := openServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.Header.Get("If-None-Match")+r.Header.Get("If-Match") != "":
			w.WriteHeader(http.StatusNotImplemented)
			fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>NotImplemented</Code><Message>A header is not implemented.</Message></Error>`)
		case r.Method == http.MethodPut:
			stored, _ = io.ReadAll(r.Body)
		}
	})
	for _, tag := range []string{"", `"tag"`} {
		stored = nil
		if err := b.Replace(t.Context(), "x", []byte("written"), tag); err != nil || string(stored) != "written" {
			t.Errorf("with tag %q the object is %q (%v), want the written data", tag, stored, err)
		}
	}
}

// Some servers return the old object with the new tag during a write.
func TestGetForReplaceDetectsTornReads(t *testing.T) {
	const tag = `"5eb63bbbe01eeed093cb22bb8f5acdc3"` // of "hello world"
	for _, c := range []struct {
		name   string
		bodies []string // the last one repeats
		want   string
		reads  int
	}{
		{"the object and its tag", []string{"hello world"}, "hello world", 1},
		{"a read during a write", []string{"old", "old", "hello world"}, "hello world", 3},
		{"tags that are not MD5", []string{"other"}, "other", tornReads},
	} {
		t.Run(c.name, func(t *testing.T) {
			reads := 0
			b := openServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("ETag", tag)
				fmt.Fprint(w, c.bodies[min(reads, len(c.bodies)-1)])
				reads++
			})
			data, got, err := b.GetForReplace(t.Context(), "x")
			if err != nil || string(data) != c.want || got != tag || reads != c.reads {
				t.Errorf("%d reads gave %q with tag %s (%v), want %q with %s after %d", reads, data, got, err, c.want, tag, c.reads)
			}
		})
	}
}
