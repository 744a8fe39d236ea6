package testservers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// S3Config configures an S3 server.
type S3Config struct {
	Binary string // path of versitygw, which deploy/s3/setup.sh prints
	Folder string // data
	Access string // access key ID of the only user
	Secret string // secret access key of that user
	Bucket string // bucket to create
}

// S3 is an S3-compatible object store. It keeps its data when it is restarted.
type S3 struct {
	cfg     S3Config
	address string
	server  *server
}

// StartS3 starts an S3 server. The caller must Close it.
func StartS3(ctx context.Context, cfg S3Config) (*S3, error) {
	free, err := FreeAddress()
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

// Endpoint returns the URL of the server.
func (s *S3) Endpoint() string { return "http://" + s.address }

// Location returns the URL of the bucket or of a prefix in it, in the format of bucket.Open.
func (s *S3) Location(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s", s.cfg.Bucket, prefix, s.Endpoint())
}

// Start restarts the server after Kill, with the same address and data.
func (s *S3) Start(ctx context.Context) (err error) {
	// A test server on the loopback interface: the secret may appear in its command line.
	if s.server, err = startServer(s.folder("s3.log"), s.cfg.Binary, "--port", s.address, "--quiet",
		"--access", s.cfg.Access, "--secret", s.cfg.Secret, "posix", "--sidecar", s.folder("attributes"), s.folder("objects")); err != nil {
		return err
	}
	return s.server.awaitReady(ctx, "the S3 server", s.ready)
}

func (s *S3) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint(), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return answer.Body.Close() // any status, including 403, shows that it serves
}

// Kill sends SIGKILL, as a crash would.
func (s *S3) Kill() { s.server.Kill() }

// Close ends the server.
func (s *S3) Close() { s.server.Kill() }

// S3BinaryVariable is the environment variable that names the S3 server's binary.
const S3BinaryVariable = "GENREC_TEST_S3"

// Credentials and bucket of RequireS3.
const (
	S3AccessKey = "genrec"
	S3SecretKey = "not-a-secret-of-anybody"
	S3Bucket    = "models"
)

// S3Available reports whether RequireS3 starts a server.
func S3Available() bool { return os.Getenv(S3BinaryVariable) != "" }

// RequireS3 starts an S3 server with an empty bucket and sets the AWS environment variables to its
// credentials, both until the end of the test. It skips the test if there is no server.
func RequireS3(t testing.TB) *S3 {
	t.Helper()
	if !S3Available() {
		t.Skip("make test-real runs this")
	}
	s, err := StartS3(t.Context(), S3Config{
		Binary: os.Getenv(S3BinaryVariable), Folder: t.TempDir(), Access: S3AccessKey, Secret: S3SecretKey, Bucket: S3Bucket,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": S3AccessKey, "AWS_SECRET_ACCESS_KEY": S3SecretKey,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	return s
}
