package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/registry"
	"genrec/retrain"
	"genrec/retrain/gate"
)

// asProgram, set in the environment, makes genrec of the test's binary.
const asProgram = "GENREC_TEST_AS_PROGRAM"

// program is genrec with arguments, as a process, whose logs go to a file.
func program(t *testing.T, arguments ...string) (cmd *exec.Cmd, logs func() string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "logs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	cmd = exec.CommandContext(t.Context(), path, arguments...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = file
	return cmd, func() string {
		data, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

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
	if !strings.Contains(logs(), `rank 1: `) || !strings.Contains(logs(), "training beside rank 0") {
		t.Errorf("rank 1 says nothing:\n%s", logs())
	}
}

// A stop reaches both processes, and is no failure.
func TestStopInTwoProcesses(t *testing.T) {
	cmd, logs := program(t, trainingArguments(t, "--pretrain-epochs", "100000")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the training of both", func() bool { return strings.Contains(logs(), "training beside rank 0") })
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

// Where nothing can be learned, neither process has failed.
func TestNothingToLearnInTwoProcesses(t *testing.T) {
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

// Programs around this one tell by the exit code what came of a training.
func TestExitCodes(t *testing.T) {
	passed := retrain.Report{Version: "v000003", Gate: gate.Verdict{Promoted: true}}
	waiting := passed
	waiting.Split = []registry.Share{{Version: "v000001", Percent: 60}, {Version: "v000002", Percent: 40}}
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{retrain.Report{Version: "v000003", Gate: gate.Verdict{Reason: "worse", Rival: "v000001"}}.NotServed(), 3, "kept v000001, v000003 was refused: worse"},
		{waiting.NotServed(), 4, "v000001:60 v000002:40: genrec models promote v000003 makes it serve"},
		{fmt.Errorf("read: %w", retrain.ErrNoData), 5, "nothing to learn yet"},
		{errors.New("the disk is full"), 1, "the disk is full"},
		{fmt.Errorf("begin: %w", settings.Join(errors.New("--redis is required"))), 2, "--redis is required"},
	} {
		if code := exitCode(c.err); code != c.code || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v: exit code %d, want %d and %q", c.err, code, c.code, c.want)
		}
	}
	if err := passed.NotServed(); err != nil {
		t.Errorf("a version that serves ends in %v", err)
	}
}
