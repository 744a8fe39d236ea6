package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"genrec/retrain"
)

func trainingArguments(t *testing.T, more ...string) []string {
	t.Helper()
	recipe := filepath.Join(t.TempDir(), "quick.json")
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	return append([]string{
		"retrain", "--nproc", "2", "--data", "testdata/ring.txt", "--recipe", recipe, "--models", t.TempDir(), "--device", "cpu",
	}, more...)
}

// One command trains in two processes and prints one report.
func TestRetrainInTwoProcesses(t *testing.T) {
	cmd, logs := program(t, trainingArguments(t, "--json")...)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, logs())
	}
	var report retrain.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if report.Version == "" || report.LeaveOneOut.Users != 60 || len(report.FinetuneLoss) != 2 {
		t.Errorf("the report is %+v", report)
	}
	if !strings.Contains(logs(), `rank 1: `) || !strings.Contains(logs(), "training as a worker") {
		t.Errorf("rank 1 logs nothing:\n%s", logs())
	}
}

// A stop reaches both processes and is not a failure.
func TestStopInTwoProcesses(t *testing.T) {
	cmd, logs := program(t, trainingArguments(t, "--pretrain-epochs", "100000")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the training of both", func() bool { return strings.Contains(logs(), "training as a worker") })
	time.Sleep(time.Second)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("error %v, want exit code %d\n%s", err, exitInterrupted, logs())
	}
	for _, want := range []string{"rank 0: genrec: stopped", "rank 1: genrec: stopped"} {
		if !strings.Contains(logs(), want) {
			t.Errorf("the logs lack %q:\n%s", want, logs())
		}
	}
}

// Too little data is not a failure of any process.
func TestTooLittleDataInTwoProcesses(t *testing.T) {
	data := filepath.Join(t.TempDir(), "short.txt")
	if err := os.WriteFile(data, []byte("1 7 8\n2 8 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	arguments := trainingArguments(t)
	arguments[slices.Index(arguments, "--data")+1] = data
	cmd, logs := program(t, arguments...)
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 || !strings.Contains(logs(), "none of 2 users has 3 events") || strings.Contains(logs(), "rank 1: genrec: ") {
		t.Errorf("error %v, want exit code 5 from rank 0 alone\n%s", err, logs())
	}
}
