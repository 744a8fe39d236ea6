// Package s3test gives tests a real S3 server.
package s3test

import (
	"os"
	"testing"

	"genrec/pkg/realservers"
)

// Variable names the server's binary; without it there is no server.
const Variable = "GENREC_TEST_S3"

// Real tells whether there is a server.
func Real() bool { return os.Getenv(Variable) != "" }

// The server's only user, whom Start makes that of the test's environment.
const (
	Access = "genrec"
	Secret = "not-a-secret-of-anybody"
	Bucket = "models"
)

// Start starts a server with an empty bucket, or skips the test. It stops with the test.
func Start(t testing.TB) *realservers.S3 {
	t.Helper()
	if !Real() {
		t.Skip("make test-real runs this")
	}
	s, err := realservers.StartS3(t.Context(), realservers.S3Config{
		Binary: os.Getenv(Variable), Folder: t.TempDir(), Access: Access, Secret: Secret, Bucket: Bucket,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": Access, "AWS_SECRET_ACCESS_KEY": Secret,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	return s
}
