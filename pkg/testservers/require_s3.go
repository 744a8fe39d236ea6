package testservers

import (
	"os"
	"testing"
)

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
