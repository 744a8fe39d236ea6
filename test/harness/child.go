package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Child is a process that is killed when this one dies.
type Child struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of Wait, valid after ended is closed
}

// Start starts a program. Its standard error goes to stderr, which may be nil.
func Start(stderr io.Writer, program string, args ...string) (*Child, error) {
	return StartPrinting(nil, stderr, program, args...)
}

// StartPrinting is Start with standard output.
func StartPrinting(stdout, stderr io.Writer, program string, args ...string) (*Child, error) {
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return StartCommand(cmd)
}

// StartCommand starts a prepared command.
func StartCommand(cmd *exec.Cmd) (*Child, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	c := &Child{cmd: cmd, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// ID returns the process id.
func (c *Child) ID() int { return c.cmd.Process.Pid }

// Failed returns an error if the process has ended.
func (c *Child) Failed() error {
	select {
	case <-c.ended:
		return errors.Join(fmt.Errorf("%s ended", strings.Join(c.cmd.Args, " ")), c.err)
	default:
		return nil
	}
}

// Wait waits for the end of the process.
func (c *Child) Wait() error {
	<-c.ended
	return c.err
}

// Stop sends SIGTERM and waits.
func (c *Child) Stop() error { return c.End(syscall.SIGTERM) }

// End sends a signal and waits.
func (c *Child) End(signal os.Signal) error {
	_ = c.cmd.Process.Signal(signal) // it may have ended already
	<-c.ended
	return c.err
}
