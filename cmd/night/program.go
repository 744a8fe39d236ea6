package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// service is a genrec that runs all night.
type service struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it has ended
}

func (w *world) serve(args ...string) (*service, error) {
	args = append([]string{"--log-level", "warn"}, append(args, w.servers()...)...)
	cmd := exec.Command(w.s.genrec, args...)
	cmd.Stderr = w.stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	s := &service{cmd: cmd, ended: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// stderr is where services log to.
func (w *world) stderr() io.Writer {
	if w.s.verbose {
		return os.Stderr
	}
	return nil
}

func (s *service) failed() error {
	select {
	case <-s.ended:
		return errors.Join(fmt.Errorf("%s ended", strings.Join(s.cmd.Args, " ")), s.err)
	default:
		return nil
	}
}

func (s *service) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
	<-s.ended
}

// refused is the exit code of a training whose model the gate refuses.
const refused = 3

// genrec runs a command to its end and decodes what it prints as JSON. The error has what it
// said.
func (w *world) genrec(ctx context.Context, into any, args ...string) (said string, err error) {
	cmd := exec.CommandContext(ctx, w.s.genrec, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != refused {
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
