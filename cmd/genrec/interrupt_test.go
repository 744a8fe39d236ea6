package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"genrec/pkg/embedded/embeddedtest"
)

// soon is how long a stop may take on a busy machine.
const soon = 10 * time.Second

// Ctrl-C ends services with exit code 0, even while they wait for a server, and unfinished work
// with 130.
func TestCtrlC(t *testing.T) {
	servers, _ := embeddedtest.Start(t)
	at := "--kafka " + servers.KafkaBrokers()[0] + " --redis " + servers.RedisAddr()
	folder := t.TempDir()
	rejects := filepath.Join(folder, "rejects")
	for _, c := range []struct {
		line, began string // what is logged or printed when it is at work
		code        int
	}{
		{"ingest --metrics 127.0.0.1:0 " + at, "serving metrics", 0},
		{"infer " + at, "no model version yet", 0},
		{"serve --listen 127.0.0.1:0 " + at, "serving over HTTP", 0},
		{"all --page 127.0.0.1:0", "serving over HTTP", 0},
		{"retrain --schedule @yearly --redis " + servers.RedisAddr(), "waiting for the next training", 0},
		{"ingest --redis 127.0.0.1:1", "will retry", 0},
		{"infer --kafka 127.0.0.1:1", "will retry", 0},
		{"serve --listen 127.0.0.1:0 --redis 127.0.0.1:1", "will retry", 0},
		{"config check --kafka 127.0.0.1:1 --redis 127.0.0.1:1", "will retry", exitInterrupted},
		{"demo --page=", "2/5", exitInterrupted},
		{"retrain --data testdata/ring.txt --finetune-epochs 100000", "msg=training", exitInterrupted},
		{"import --dry-run --rejects " + rejects + " " + manyEvents(t, folder), "", exitInterrupted},
	} {
		t.Run(strings.Fields(c.line)[0], func(t *testing.T) {
			cmd, logs := program(t, strings.Fields(c.line)...)
			cmd.Stdout = cmd.Stderr
			cmd.Env = append(cmd.Env, "GENREC_MODELS="+filepath.Join(folder, "models"), "GENREC_DEVICE=cpu")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			embeddedtest.Eventually(t, func() string {
				refused, _ := os.ReadFile(rejects)
				if c.began == "" && len(refused) > 0 || c.began != "" && strings.Contains(logs(), c.began) {
					return ""
				}
				return fmt.Sprintf("it does not begin (%q):\n%s", c.began, logs())
			})
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			killed := time.AfterFunc(soon, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // which tells where it hangs
			err := cmd.Wait()
			if !killed.Stop() {
				t.Fatalf("it goes on for %v after Ctrl-C:\n%s", soon, logs())
			}
			code := 0
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				code = exit.ExitCode()
			}
			if code != c.code {
				t.Errorf("%s: exit code %d, want %d:\n%s", c.line, code, c.code, logs())
			}
		})
	}
}

// manyEvents is a file that takes a while to read, and whose first row is invalid.
func manyEvents(t *testing.T, folder string) string {
	t.Helper()
	var text bytes.Buffer
	text.WriteString("event_id,user_id,item_id,timestamp\n,,,\n")
	for i := range 700_000 {
		fmt.Fprintf(&text, "%d,u%d,i%d,1772366400000\n", i, i%5000, i%300)
	}
	path := filepath.Join(folder, "many.csv")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
