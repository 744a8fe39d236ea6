// Package testservers runs Apache Kafka, Redis, an S3 server and a control plane of Kubernetes
// as processes on loopback ports, for tests against the servers that production has.
// deploy/kafka/setup.sh fetches Kafka, deploy/s3/setup.sh and deploy/kubernetes/setup.sh build
// the last two.
package testservers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// startTimeout is how long a server may take until it answers.
const (
	startTimeout = 60 * time.Second
	pollInterval = 20 * time.Millisecond
)

// process is a server that runs. It dies with this process.
type process struct {
	cmd   *exec.Cmd
	log   string // file
	ended chan struct{}
}

// startProcess runs a command with its output appended to a file.
func startProcess(log string, command ...string) (*process, error) {
	if err := need(command[0]); err != nil {
		return nil, err
	}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	defer output.Close()
	p := &process{cmd: exec.Command(command[0], command[1:]...), log: log, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig means the death of the thread that started it
		started <- p.cmd.Start()
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	return p, nil
}

// need says how to install a command that is missing.
func need(command string) error {
	if _, err := exec.LookPath(command); err != nil {
		return fmt.Errorf("%w: install what is missing, for instance with: apt install openjdk-17-jre-headless redis-server", err)
	}
	return nil
}

// await polls until the server answers.
func (p *process) await(ctx context.Context, what string, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended at its start:\n%s", what, p.lastOutput())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", what, err, p.lastOutput())
		case <-time.After(pollInterval):
		}
	}
}

func (p *process) lastOutput() []byte {
	const most = 4 << 10
	output, _ := os.ReadFile(p.log)
	return bytes.TrimSpace(output[max(0, len(output)-most):])
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// address returns a loopback address with a port that is free now.
func address() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
