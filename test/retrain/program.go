package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"genrec/test/harness"
)

func (w *world) serve(args ...string) (*harness.Child, error) {
	return harness.Start(w.stderr(), w.s.genrec, append(append([]string{"--log-level", "warn"}, args...), w.servers()...)...)
}

// stderr is where services log to.
func (w *world) stderr() io.Writer {
	if w.s.verbose {
		return os.Stderr
	}
	return nil
}

// Exit codes of a training whose model does not serve: the gate has refused it, or it waits until
// a split is over.
const (
	refused = 3
	waiting = 4
)

// genrec runs a command to its end and decodes what it prints as JSON. The error has what it
// said.
func (w *world) genrec(ctx context.Context, into any, args ...string) (said string, err error) {
	cmd := exec.CommandContext(ctx, w.s.genrec, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != refused && cmd.ProcessState.ExitCode() != waiting {
		return log.String(), fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(log.String()))
	}
	if into == nil {
		return log.String(), nil
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		return log.String(), fmt.Errorf("%s printed %.200q: %w", strings.Join(cmd.Args, " "), out.String(), err)
	}
	return log.String(), nil
}

// tail is the end of a log.
func tail(log string) string {
	const most = 2000
	return log[max(0, len(log)-most):]
}
