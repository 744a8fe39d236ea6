package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/sessions"
	"genrec/test/harness"
)

// environment has the servers, the services, and a reader of recommendations.
type environment struct {
	s               settings
	random          *rand.Rand
	servers         harness.Servers
	rdb             *redis.Client
	store           *sessions.Store
	models, history string // folders
	shop            *shop
	services        []*testservers.Process
	reader          *reader
	stopReading     func()

	kills, resumed, published, refused, incomplete int
}

const partitions = 4

func newEnvironment(ctx context.Context, s settings, folder string) (*environment, error) {
	env := &environment{
		s: s, random: rand.New(rand.NewPCG(s.seed, 2)), models: filepath.Join(folder, "models"), history: filepath.Join(folder, "history"),
		reader: &reader{random: rand.New(rand.NewPCG(s.seed, 3))}, stopReading: func() {},
	}
	slog.Info("starting Kafka and Redis")
	var err error
	if env.servers, err = harness.StartServers(ctx, folder, testservers.KafkaConfig{Jars: s.jars}); err != nil {
		return env, err
	}
	cluster := stream.Cluster{Brokers: []string{env.servers.Kafka.Address()}}
	if err := stream.EnsureTopics(ctx, cluster, stream.DefaultTopics(), partitions); err != nil {
		return env, err
	}
	env.rdb = redis.NewClient(&redis.Options{Addr: env.servers.Redis.Address(), ContextTimeoutEnabled: true})
	if env.store, err = sessions.Open(ctx, env.rdb, sessions.Options{}); err != nil {
		return env, err
	}
	env.shop = newShop(s.seed, cluster)
	env.reader.store, env.reader.users = env.store, env.shop.users
	for _, args := range [][]string{
		{"ingest", "--history", env.history},
		{"infer", "--models", env.models, "--refresh-rate", "1000"},
	} {
		started, err := env.serve(args...)
		if err != nil {
			return env, err
		}
		env.services = append(env.services, started)
	}
	return env, nil
}

// startReader starts reading recommendations.
func (env *environment) startReader(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		env.reader.read(ctx)
	}()
	env.stopReading = func() { cancel(); <-done }
}

// healthy returns an error if a service has ended.
func (env *environment) healthy() error {
	var errs []error
	for _, s := range env.services {
		errs = append(errs, s.Failed())
	}
	return errors.Join(errs...)
}

func (env *environment) close() {
	env.stopReading()
	for _, s := range env.services {
		_ = s.Stop() // healthy has reported a failure before
	}
	if env.shop != nil {
		_ = env.shop.writer.Close()
	}
	if env.rdb != nil {
		_ = env.rdb.Close()
	}
	env.servers.Close()
}

// check is an assertion of the scenario.
func check(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func (env *environment) serve(args ...string) (*testservers.Process, error) {
	return harness.Start(nil, env.stderr(), env.s.genrec, append(append([]string{"--log-level", "warn"}, args...), env.servers.Flags()...)...)
}

// stderr returns the destination of the services' logs.
func (env *environment) stderr() io.Writer {
	if env.s.verbose {
		return os.Stderr
	}
	return nil
}

// Exit codes of trainings whose model is not promoted.
const (
	refused = 3 // by the gate
	waiting = 4 // for the end of a split
)

// genrec runs a command, decodes its JSON output unless output is nil, and returns its log.
func (env *environment) genrec(ctx context.Context, output any, args ...string) (log string, err error) {
	cmd := exec.CommandContext(ctx, env.s.genrec, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != refused && cmd.ProcessState.ExitCode() != waiting {
		return stderr.String(), fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(stderr.String()))
	}
	if output == nil {
		return stderr.String(), nil
	}
	if err := json.Unmarshal(stdout.Bytes(), output); err != nil {
		return stderr.String(), fmt.Errorf("%s printed %.200q: %w", strings.Join(cmd.Args, " "), stdout.String(), err)
	}
	return stderr.String(), nil
}

// tail returns the end of a log.
func tail(log string) string {
	const most = 2000
	return log[max(0, len(log)-most):]
}
