package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/test/harness"
)

// environment has the servers that all cases share.
type environment struct {
	settings settings
	folder   string
	kafka    *testservers.Kafka
}

func newEnvironment(ctx context.Context, s settings) (env *environment, err error) {
	env = &environment{settings: s}
	if env.folder, err = os.MkdirTemp("", "genrec-cases-"); err != nil {
		return nil, err
	}
	if env.kafka, err = testservers.StartKafka(ctx, testservers.KafkaConfig{Jars: s.jars, Folder: env.folder}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(env.folder))
	}
	err = stream.EnsureTopics(ctx, env.cluster(), stream.DefaultTopics(), partitions)
	if err != nil {
		err = errors.Join(err, env.close())
	}
	return env, err
}

func (env *environment) cluster() stream.Cluster {
	return stream.Cluster{Brokers: []string{env.kafka.Address()}}
}

func (env *environment) close() error {
	env.kafka.Close()
	return os.RemoveAll(env.folder)
}

// caseRun has the resources of one case.
type caseRun struct {
	*environment
	tmp       string
	redis     *testservers.Redis
	address   string // for a service to listen on
	services  []*testservers.Process
	variables *strings.Replacer // $FILE, $TMP, …
}

func (env *environment) open(ctx context.Context, file string, t testCase) (s *caseRun, err error) {
	s = &caseRun{environment: env}
	if s.tmp, err = os.MkdirTemp(env.folder, "case-"); err != nil {
		return s, err
	}
	for name, text := range t.files {
		if err := os.WriteFile(filepath.Join(s.tmp, name), []byte(text), 0o600); err != nil {
			return s, err
		}
	}
	if s.redis, err = testservers.StartRedis(ctx, testservers.RedisConfig{Folder: s.tmp}); err != nil {
		return s, err
	}
	s.address, err = testservers.FreeAddress()
	s.variables = strings.NewReplacer("$FILE", file, "$TMP", s.tmp, "$REDIS", s.redis.Address(), "$KAFKA", env.kafka.Address(), "$ADDRESS", s.address)
	return s, err
}

func (s *caseRun) close() (err error) {
	for _, service := range s.services {
		if stopped := service.Stop(); stopped != nil {
			err = errors.Join(err, fmt.Errorf("a service exited with %w", stopped))
		}
	}
	if s.redis != nil {
		s.redis.Close()
	}
	return errors.Join(err, os.RemoveAll(s.tmp))
}

func (s *caseRun) expand(command string) string { return s.variables.Replace(command) }

// run executes the command of a step.
func (s *caseRun) run(ctx context.Context, command string) (result, error) {
	words := strings.Fields(command)
	switch words[0] {
	case "genrec":
		return s.runProgram(ctx, s.settings.genrec, words[1:]...)
	case "python3":
		return s.runProgram(ctx, words[0], words[1:]...)
	case "start":
		return s.start(ctx, words[2:]...)
	case "get":
		return s.get(ctx, words[1], words[2:]...)
	case "produce":
		return result{}, s.produce(ctx)
	}
	return result{}, fmt.Errorf("unknown command %q in a step", words[0])
}

// commandTimeout is longer than the duration of any command.
const commandTimeout = 2 * time.Minute

func (s *caseRun) runProgram(ctx context.Context, name string, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+s.settings.clients)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	return result{cmd.ProcessState.ExitCode(), output.String()}, nil
}

// start returns when the service is ready. If it does not become ready, the exit code is -1.
func (s *caseRun) start(ctx context.Context, args ...string) (result, error) {
	path := filepath.Join(s.tmp, "service.log")
	log, err := os.Create(path)
	if err != nil {
		return result{}, err
	}
	defer log.Close()
	service, err := harness.Start(log, log, s.settings.genrec, args...)
	if err != nil {
		return result{}, err
	}
	ready := harness.AwaitReady(ctx, service, "http://"+s.address+"/readyz", 30*time.Second)
	if service.Failed() == nil {
		s.services = append(s.services, service)
	}
	if ready == nil || ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	text, err := os.ReadFile(path)
	return result{exit: -1, output: fmt.Sprintf("%s\n%v", text, ready)}, err
}

func (s *caseRun) get(ctx context.Context, path string, token ...string) (result, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return result{}, err
	}
	if len(token) > 0 {
		request.Header.Set("Authorization", "Bearer "+token[0])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return result{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return result{output: fmt.Sprintf("%d %s", response.StatusCode, body)}, err
}

// partitions of each topic.
const partitions = 4

// produce appends an event to each partition of the topic.
func (s *caseRun) produce(ctx context.Context) (err error) {
	writer := stream.NewWriter(s.cluster(), stream.DefaultTopics().Interactions)
	defer func() { err = errors.Join(err, writer.Close()) }()
	next := 0
	writer.Balancer = kafka.BalancerFunc(func(kafka.Message, ...int) int { next++; return next - 1 })
	var messages []kafka.Message
	for i := range partitions {
		e := event.Event{ID: fmt.Sprint("after-", i), User: fmt.Sprint("after-", i), Item: "i1", Type: event.DefaultType, Time: time.Now()}
		messages = append(messages, harness.Message(e))
	}
	return stream.Publish(ctx, slog.Default(), writer, messages...)
}
