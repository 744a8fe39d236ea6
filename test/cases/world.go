package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
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

// world is what all cases share.
type world struct {
	settings settings
	folder   string
	kafka    *testservers.Kafka
}

func newWorld(ctx context.Context, s settings) (w *world, err error) {
	w = &world{settings: s}
	if w.folder, err = os.MkdirTemp("", "genrec-cases-"); err != nil {
		return nil, err
	}
	if w.kafka, err = testservers.StartKafka(ctx, testservers.KafkaConfig{Jars: s.jars, Folder: w.folder}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.folder))
	}
	err = stream.EnsureTopics(ctx, w.cluster(), stream.DefaultTopics(), partitions)
	if err != nil {
		err = errors.Join(err, w.close())
	}
	return w, err
}

func (w *world) cluster() stream.Cluster { return stream.Cluster{Brokers: []string{w.kafka.Address()}} }

func (w *world) close() error {
	w.kafka.Close()
	return os.RemoveAll(w.folder)
}

// scene is what one case has for itself.
type scene struct {
	*world
	tmp      string
	redis    *testservers.Redis
	address  string // free, for a service
	services []*harness.Child
	names    *strings.Replacer
}

func (w *world) open(ctx context.Context, file string, t trial) (s *scene, err error) {
	s = &scene{world: w}
	if s.tmp, err = os.MkdirTemp(w.folder, "case-"); err != nil {
		return s, err
	}
	for name, text := range t.given {
		if err := os.WriteFile(filepath.Join(s.tmp, name), []byte(text), 0o600); err != nil {
			return s, err
		}
	}
	if s.redis, err = testservers.StartRedis(ctx, testservers.RedisConfig{Folder: s.tmp}); err != nil {
		return s, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return s, err
	}
	s.address = listener.Addr().String()
	s.names = strings.NewReplacer("$FILE", file, "$TMP", s.tmp, "$REDIS", s.redis.Address(), "$KAFKA", w.kafka.Address(), "$ADDRESS", s.address)
	return s, listener.Close()
}

func (s *scene) close() (err error) {
	for _, service := range s.services {
		if stopped := service.Stop(); stopped != nil {
			err = errors.Join(err, fmt.Errorf("a service ended with %w", stopped))
		}
	}
	if s.redis != nil {
		s.redis.Close()
	}
	return errors.Join(err, os.RemoveAll(s.tmp))
}

func (s *scene) fill(command string) string { return s.names.Replace(command) }

// run does what a command of a step says.
func (s *scene) run(ctx context.Context, command string) (outcome, error) {
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
		return outcome{}, s.produce(ctx)
	}
	return outcome{}, fmt.Errorf("%q is no command of a step", words[0])
}

// patience is longer than any command takes that goes on at all.
const patience = 2 * time.Minute

func (s *scene) runProgram(ctx context.Context, name string, args ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+s.settings.clients)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	return outcome{cmd.ProcessState.ExitCode(), output.String()}, nil
}

// start ends when the service is ready. One that does not get there has failed the step.
func (s *scene) start(ctx context.Context, args ...string) (outcome, error) {
	path := filepath.Join(s.tmp, "service.log")
	log, err := os.Create(path)
	if err != nil {
		return outcome{}, err
	}
	defer log.Close()
	service, err := harness.StartPrinting(log, log, s.settings.genrec, args...)
	if err != nil {
		return outcome{}, err
	}
	ready := harness.Eventually(ctx, "genrec is ready", 30*time.Second, func(ctx context.Context) error {
		got, err := s.get(ctx, "/readyz")
		if err == nil && !strings.HasPrefix(got.output, "200 ") {
			err = errors.New(got.output)
		}
		return err
	})
	if ended := service.Failed(); ended != nil {
		ready = errors.Join(ready, ended)
	} else {
		s.services = append(s.services, service)
	}
	if ready == nil || ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	text, err := os.ReadFile(path)
	return outcome{exit: -1, output: fmt.Sprintf("%s\n%v", text, ready)}, err
}

func (s *scene) get(ctx context.Context, path string, token ...string) (outcome, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return outcome{}, err
	}
	if len(token) > 0 {
		request.Header.Set("Authorization", "Bearer "+token[0])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return outcome{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return outcome{output: fmt.Sprintf("%d %s", response.StatusCode, body)}, err
}

// partitions of the topics.
const partitions = 4

// produce sends an event to each partition of the topic, behind all that is there.
func (s *scene) produce(ctx context.Context) (err error) {
	writer := stream.NewWriter(s.cluster(), stream.DefaultTopics().Interactions)
	defer func() { err = errors.Join(err, writer.Close()) }()
	next := 0
	writer.Balancer = kafka.BalancerFunc(func(kafka.Message, ...int) int { next++; return next - 1 })
	var messages []kafka.Message
	for i := range partitions {
		e := event.Event{ID: fmt.Sprint("after-", i), User: fmt.Sprint("after-", i), Item: "i1", Type: event.DefaultType, Time: time.Now()}
		value, err := json.Marshal(e)
		if err != nil {
			return err
		}
		messages = append(messages, kafka.Message{Key: []byte(e.User), Value: value})
	}
	return stream.Publish(ctx, slog.Default(), writer, messages...)
}
