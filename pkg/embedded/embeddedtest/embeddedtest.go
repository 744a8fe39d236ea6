// Package embeddedtest is the test harness of services: it starts Kafka and Redis, embedded or
// real, runs a service, and polls until it has had an effect.
package embeddedtest

import (
	"context"
	"testing"
	"time"
)

// Timeout is how long a test waits for an effect that should be immediate.
const Timeout = 60 * time.Second

const pollInterval = 2 * time.Millisecond

// Eventually polls until condition returns "". After Timeout it fails with its last result.
func Eventually(t testing.TB, condition func() string) {
	t.Helper()
	deadline := time.Now().Add(Timeout)
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

// Service is a running service.
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

// Stop cancels the service's context. The test fails if the service does not return, or returns an
// error.
func (s *Service) Stop() {
	s.t.Helper()
	s.cancel()
	if err := s.Wait(); err != nil {
		s.t.Fatalf("Run returned %v after its context was canceled, want no error", err)
	}
}

// Wait returns the error that the service returns. The test fails if it does not return.
func (s *Service) Wait() error {
	s.t.Helper()
	select {
	case err := <-s.done:
		return err
	case <-time.After(Timeout):
		s.t.Fatal("Run did not return")
		return nil
	}
}
