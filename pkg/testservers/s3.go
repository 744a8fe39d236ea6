package testservers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// S3Config configures an S3 server.
type S3Config struct {
	Binary string // versitygw, as deploy/s3/setup.sh fetches it
	Folder string // where it keeps its data
	Access string // key id of its user
	Secret string
	Bucket string // that is there from the start
}

// S3 is an S3-compatible object store that keeps its data over restarts.
type S3 struct {
	cfg     S3Config
	address string
	process *process
}

// StartS3 starts an S3 server. It runs until Close.
func StartS3(ctx context.Context, cfg S3Config) (*S3, error) {
	free, err := address()
	if err != nil {
		return nil, err
	}
	s := &S3{cfg: cfg, address: free}
	for _, folder := range []string{s.folder("attributes"), filepath.Join(s.folder("objects"), cfg.Bucket)} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("configure the S3 server: %w", err)
		}
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *S3) folder(name string) string { return filepath.Join(s.cfg.Folder, name) }

// Endpoint returns its URL.
func (s *S3) Endpoint() string { return "http://" + s.address }

// Location returns the URL of its bucket, or of a part of it, as bucket.Open takes it.
func (s *S3) Location(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s", s.cfg.Bucket, prefix, s.Endpoint())
}

// Start starts it again after Kill, at the same address and with what it held.
func (s *S3) Start(ctx context.Context) (err error) {
	// The secret is in the command line of a server on the loopback, for a test.
	if s.process, err = startProcess(s.folder("s3.log"), s.cfg.Binary, "--port", s.address, "--quiet",
		"--access", s.cfg.Access, "--secret", s.cfg.Secret, "posix", "--sidecar", s.folder("attributes"), s.folder("objects")); err != nil {
		return err
	}
	return s.process.await(ctx, "the S3 server", s.answers)
}

func (s *S3) answers(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint(), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return answer.Body.Close() // any answer will do, also that it wants to know who asks
}

// Kill ends it as a crash does.
func (s *S3) Kill() { s.process.kill() }

// Close ends it.
func (s *S3) Close() { s.process.kill() }
