// Package testservers runs the servers that genrec meets in production as child processes on loopback
// ports: Apache Kafka, Redis (also as a Redis Cluster), an S3-compatible object store and a Kubernetes
// control plane. Each keeps its address and its data when it is killed and started again.
//
// The programs come from scripts: deploy/kafka/setup.sh downloads Kafka, deploy/s3/setup.sh and
// deploy/kubernetes/setup.sh build the last two; redis-server and Java must be installed.
package testservers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a child process. The kernel kills it when this process ends.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // result of cmd.Wait, valid once ended is closed
}

// StartProcess starts a prepared command. It sets cmd.SysProcAttr.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel sends Pdeathsig when the thread that started the child ends
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// ID returns the process ID.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Failed returns an error if the process has ended.
func (p *Process) Failed() error {
	select {
	case <-p.ended:
		return errors.Join(fmt.Errorf("%s ended", strings.Join(p.cmd.Args, " ")), p.err)
	default:
		return nil
	}
}

// Wait waits for the process to end and returns the error of exec.Cmd.Wait.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Stop sends SIGTERM and waits.
func (p *Process) Stop() error { return p.End(syscall.SIGTERM) }

// Kill sends SIGKILL, as a crash would, and waits.
func (p *Process) Kill() { _ = p.End(syscall.SIGKILL) }

// End sends a signal and waits.
func (p *Process) End(signal os.Signal) error {
	_ = p.cmd.Process.Signal(signal) // fails if it has ended
	return p.Wait()
}

// server is the process of a server that appends its output to a file.
type server struct {
	*Process
	log string // file
}

// startServer starts a command.
func startServer(log string, command ...string) (*server, error) {
	if err := requireProgram(command[0]); err != nil {
		return nil, err
	}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	defer output.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = output, output
	p, err := StartProcess(cmd)
	return &server{p, log}, err
}

// requireProgram returns an error that says how to install a missing program.
func requireProgram(name string) error {
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Errorf("%w: install it, for instance with: apt install openjdk-17-jre-headless redis-server", err)
	}
	return nil
}

const (
	startTimeout = 60 * time.Second // until a server is ready
	pollInterval = 20 * time.Millisecond
)

// awaitReady calls ready until it succeeds. It fails when the server ends or after startTimeout.
func (s *server) awaitReady(ctx context.Context, name string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended during startup:\n%s", name, s.lastOutput())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", name, err, s.lastOutput())
		case <-time.After(pollInterval):
		}
	}
}

func (s *server) lastOutput() []byte {
	const most = 4 << 10
	output, _ := os.ReadFile(s.log)
	return bytes.TrimSpace(output[max(0, len(output)-most):])
}

// FreeAddress returns a loopback HOST:PORT that no program listens on at the moment.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
