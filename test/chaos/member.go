package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// member is a process of a service that is started again whenever it ends.
type member struct {
	service string
	cancel  context.CancelFunc
	done    chan struct{}

	mu  sync.Mutex
	cmd *exec.Cmd // nil between two lives
}

func startMember(ctx context.Context, service, kafka, redis string, verbose bool) *member {
	ctx, cancel := context.WithCancel(ctx)
	m := &member{service: service, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			m.life(ctx, verbose, "-work", service, "-kafka", kafka, "-redis", redis)
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	}()
	return m
}

// life is one process, which is asked to stop when ctx ends.
func (m *member) life(ctx context.Context, verbose bool, args ...string) {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if verbose {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		slog.Warn("cannot start a process", "service", m.service, "cause", err)
		return
	}
	m.set(cmd)
	err := cmd.Wait()
	m.set(nil)
	slog.Debug("a process ended", "service", m.service, "cause", err)
}

func (m *member) set(cmd *exec.Cmd) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cmd = cmd
}

// kill ends the process as a crash does, once there is one.
func (m *member) kill() {
	for {
		m.mu.Lock()
		if m.cmd != nil {
			_ = m.cmd.Process.Kill()
			m.cmd = nil
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		select {
		case <-m.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// leave lets the process stop by itself, and starts no other.
func (m *member) leave() {
	m.cancel()
	<-m.done
}
