// Package harness is the shared part of end-to-end tests and benchmarks: a main function that handles
// flags and signals, servers and child processes, waiting for an effect, Kafka messages of events, and
// the CPU time and memory of processes.
package harness

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
	"genrec/pkg/event"
	"genrec/pkg/testservers"
)

// Main parses the command line and calls Run.
func Main(name string, run func(context.Context) error) {
	flag.Parse()
	Run(name, run)
}

// Run calls run with a context that SIGINT and SIGTERM cancel. If run fails, it prints the error
// and exits with code 1.
func Run(name string, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Start starts a program. stdout and stderr may be nil.
func Start(stdout, stderr io.Writer, program string, args ...string) (*testservers.Process, error) {
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return testservers.StartProcess(cmd)
}

// Servers are a Kafka and a Redis with their data below one folder. The zero value has neither.
type Servers struct {
	Kafka *testservers.Kafka // running
	Redis *testservers.Redis // running
}

// StartServers starts Redis and Kafka, which cfg configures except for the folder. Close the servers
// unless it fails.
func StartServers(ctx context.Context, folder string, cfg testservers.KafkaConfig) (Servers, error) {
	cfg.Folder = filepath.Join(folder, "kafka")
	redis := testservers.RedisConfig{Folder: filepath.Join(folder, "redis")}
	if err := errors.Join(os.Mkdir(cfg.Folder, 0o700), os.Mkdir(redis.Folder, 0o700)); err != nil {
		return Servers{}, err
	}
	var s Servers
	var err error
	if s.Redis, err = testservers.StartRedis(ctx, redis); err != nil {
		return Servers{}, err
	}
	if s.Kafka, err = testservers.StartKafka(ctx, cfg); err != nil {
		s.Redis.Close()
		return Servers{}, err
	}
	return s, nil
}

// Flags returns the flags of genrec for the addresses of the servers.
func (s Servers) Flags() []string {
	return []string{"--kafka", s.Kafka.Address(), "--redis", s.Redis.Address()}
}

// Close stops the servers.
func (s Servers) Close() {
	if s.Kafka != nil {
		s.Kafka.Close()
	}
	if s.Redis != nil {
		s.Redis.Close()
	}
}

const pollInterval = 200 * time.Millisecond

// Eventually calls try until it succeeds or returns a backoff.Permanent error. After the timeout it returns
// the last error; what names the condition in errors.
func Eventually(ctx context.Context, what string, timeout time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%s: not within %v", what, timeout))
	defer cancel()
	for {
		err := try(ctx)
		if err == nil || backoff.IsPermanent(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pollInterval):
		}
	}
}

// AwaitReady waits until a process returns status 200 for a URL. It fails when the process ends.
func AwaitReady(ctx context.Context, p *testservers.Process, url string, timeout time.Duration) error {
	return Eventually(ctx, url+" returns 200", timeout, func(ctx context.Context) error {
		if err := p.Failed(); err != nil {
			return backoff.Permanent(err)
		}
		body, err := Get(ctx, url)
		if err != nil {
			return err
		}
		return body.Close()
	})
}

// Get returns the body of a response with status 200, which the caller must close.
func Get(ctx context.Context, url string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("GET %s: %s", url, response.Status), response.Body.Close())
	}
	return response.Body, nil
}

// Message returns the Kafka message of an event, keyed by user.
func Message(e event.Event) kafka.Message {
	value, err := json.Marshal(e)
	if err != nil {
		panic(err) // only a year above 9999 cannot be encoded
	}
	return kafka.Message{Key: []byte(e.User), Value: value}
}
