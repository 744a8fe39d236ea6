package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// member is a process of a service, restarted whenever it ends.
type member struct {
	service string
	cancel  context.CancelFunc
	done    chan struct{}

	mu  sync.Mutex
	cmd *exec.Cmd // nil while no process runs
}

func startMember(ctx context.Context, service, kafka, redis string, verbose bool) *member {
	ctx, cancel := context.WithCancel(ctx)
	m := &member{service: service, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			m.runOnce(ctx, verbose, "-work", service, "-kafka", kafka, "-redis", redis)
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	}()
	return m
}

// runOnce runs a process until it exits. It gets SIGTERM when ctx ends.
func (m *member) runOnce(ctx context.Context, verbose bool, args ...string) {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if verbose {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		slog.Warn("start a process", "service", m.service, "cause", err)
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

// kill sends SIGKILL, as a crash would, as soon as a process runs.
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

// stop ends the process gracefully and does not restart it.
func (m *member) stop() {
	m.cancel()
	<-m.done
}

const (
	ingestGroup    = ingest.DefaultGroup
	inferenceGroup = inference.DefaultGroup
)

// runService is the main function of a member.
func runService(ctx context.Context, s settings) error {
	rdb := redis.NewClient(&redis.Options{Addr: s.redis, ContextTimeoutEnabled: true})
	defer rdb.Close()
	store, err := sessions.Open(ctx, rdb, sessions.Options{})
	if err != nil {
		return err
	}
	cluster := stream.Cluster{Brokers: []string{s.kafka}}
	switch s.work {
	case "ingest":
		return ingest.New(ingest.Config{Kafka: cluster}, store).Run(ctx)
	case "inference":
		return inference.New(inference.Config{Kafka: cluster}, echo{}, store).Run(ctx)
	}
	return fmt.Errorf("-work: unknown service %q", s.work)
}

// echo is a model that recommends the newest items of the sequence, so that a list shows which sequence
// it was generated from.
type echo struct{}

const version = "echo"

// Serving implements inference.Models.
func (echo) Serving(context.Context) ([]registry.Share, error) {
	return []registry.Share{{Version: version, Percent: 100}}, nil
}

// Load implements inference.Models.
func (e echo) Load(context.Context, string) (inference.Generator, error) { return e, nil }

// Version implements inference.Generator.
func (echo) Version() string { return version }

// Popular implements inference.Generator.
func (echo) Popular() []userstate.ScoredItem { return nil }

// SimilarItems implements inference.Generator.
func (echo) SimilarItems() iter.Seq2[string, userstate.SimilarItems] {
	return func(func(string, userstate.SimilarItems) bool) {}
}

// Close implements inference.Generator.
func (echo) Close() error { return nil }

// Concurrency implements inference.Generator: several batches are in flight when a process is killed.
func (echo) Concurrency() int { return 3 }

// Generate implements inference.Generator.
func (echo) Generate(ctx context.Context, requests []inference.Request) (inference.Generated, error) {
	const pause = 10 * time.Millisecond // so that a kill can hit a batch
	select {
	case <-ctx.Done():
		return inference.Generated{}, ctx.Err()
	case <-time.After(pause):
	}
	lists := make([][]userstate.ScoredItem, len(requests))
	for i, r := range requests {
		lists[i] = echoOf(r.Items)
	}
	return inference.Generated{Lists: lists}, nil
}

// echoOf returns the newest items, the newest first.
func echoOf(items []string) (echoed []userstate.ScoredItem) {
	const most = 5
	for i := len(items) - 1; i >= 0 && len(echoed) < most; i-- {
		echoed = append(echoed, userstate.ScoredItem{Item: items[i], Score: 1 / float64(len(echoed)+1)})
	}
	return echoed
}
