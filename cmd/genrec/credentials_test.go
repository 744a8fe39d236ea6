package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Secrets are read from files of any encoding, and from environment variables.
func TestSecretsFromAnywhere(t *testing.T) {
	const variable, one, two = "GENREC_TEST_SECRET", "0123456789abcdef0123", "fedcba98765432100123"
	path := filepath.Join(t.TempDir(), "secret")
	for _, c := range []struct{ file, set, want string }{
		{file: one, want: one},
		{file: "\ufeff" + one + "\r\n" + two + " \r\n", want: one + " " + two},
		{file: encodeUTF16("\ufeff" + one + "\r\n" + two), want: one + " " + two},
		{file: one + " " + two + "\n", want: one + " " + two},
		{file: "\"" + one + "\"\n", want: one},
		{set: " " + one + "\n" + two + "\n", want: one + " " + two},
	} {
		from := ""
		if c.file != "" {
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			from = path
		}
		t.Setenv(variable, c.set)
		if got, err := readTokens(from, variable); err != nil || !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("the tokens of %q%q are %q, error %v, want %s", c.file, c.set, got, err, c.want)
		}
	}
	t.Setenv(variable, " hunter2\r\n")
	if got, err := readSecret("", variable); err != nil || got != "hunter2" {
		t.Errorf("the password of the variable is %q, error %v", got, err)
	}
	t.Setenv(variable, "")
	for text, want := range map[string]string{"\ufeff\"hunter 2\" \r\n": `"hunter 2"`, " \n": "", "hunter\xe9": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readSecret(path, variable); got != want || (err == nil) != (want != "") {
			t.Errorf("the password of the file %q is %q, error %v, want %q", text, got, err, want)
		}
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	for _, address := range []string{"redis://user:hunter2@[::bad", "http://user:hunter2@host", "redis://user:hunter2@127.0.0.1:1"} {
		err := newApp().Run(t.Context(), []string{"genrec", "recommend", "--user", "ann", "--redis", address})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %v for an address with a password, want one that does not show it", err)
		}
	}
}
