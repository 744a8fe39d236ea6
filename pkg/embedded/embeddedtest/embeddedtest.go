// Package embeddedtest is what tests of services share: servers to run them
// against, starting and stopping them, and waiting for what they do.
package embeddedtest

import (
	"context"
	"testing"
	"time"
)

// Patience is how long a test waits for something that should happen at once.
const Patience = 60 * time.Second

const pollInterval = 2 * time.Millisecond

// Eventually polls until condition answers "", and else fails with its answer.
func Eventually(t testing.TB, condition func() string) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		problem := condition()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(problem)
		}
		time.Sleep(pollInterval)
	}
}

// Service is a service that runs.
type Service struct {
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
}

// Run runs a service until Stop or the end of the test.
func Run(t testing.TB, run func(context.Context) error) *Service {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s := &Service{t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- run(ctx) }()
	return s
}

// Stop ends the service's context and fails the test if the service does not end,
// or ends with an error.
func (s *Service) Stop() {
	s.t.Helper()
	s.cancel()
	if err := s.Wait(); err != nil {
		s.t.Fatalf("Run must end without an error when its context ends, got %v", err)
	}
}

// Wait returns what the service ends with, and fails the test if it does not end.
func (s *Service) Wait() error {
	s.t.Helper()
	select {
	case err := <-s.done:
		return err
	case <-time.After(Patience):
		s.t.Fatal("Run did not end")
		return nil
	}
}
