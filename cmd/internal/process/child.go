package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Child is a process that dies with this one.
type Child struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it has ended
}

// Start starts a program whose log goes to stderr, which may be nil.
func Start(stderr io.Writer, program string, args ...string) (*Child, error) {
	return StartPrinting(nil, stderr, program, args...)
}

// StartPrinting is Start for a program of which more is wanted than its log.
func StartPrinting(stdout, stderr io.Writer, program string, args ...string) (*Child, error) {
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return StartCommand(cmd)
}

// StartCommand starts a prepared command, such as one with an environment of its own.
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

// ID is its process id.
func (c *Child) ID() int { return c.cmd.Process.Pid }

// Failed says why it has ended, if it has.
func (c *Child) Failed() error {
	select {
	case <-c.ended:
		return errors.Join(fmt.Errorf("%s ended", strings.Join(c.cmd.Args, " ")), c.err)
	default:
		return nil
	}
}

// Wait returns how it ended, once it has.
func (c *Child) Wait() error {
	<-c.ended
	return c.err
}

// Stop asks it to end, and returns how it did.
func (c *Child) Stop() error { return c.End(syscall.SIGTERM) }

// End is Stop by another signal.
func (c *Child) End(signal os.Signal) error {
	_ = c.cmd.Process.Signal(signal) // one that has ended needs none
	<-c.ended
	return c.err
}
