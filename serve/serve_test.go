package serve_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/serve"
	"genrec/serve/servetest"
)

// broken is a Redis and a Kafka that are down.
type broken struct{}

func (broken) Read(context.Context, []string, recs.Query) ([]recs.Answer, error) {
	return nil, errors.New("dial tcp 10.0.0.7: secret")
}

func (broken) Ping(context.Context) error { return errors.New("dial tcp 10.0.0.7: secret") }

func (broken) Publish(context.Context, []serve.Event) error { return errors.New("secret") }

func TestOutagesAreExplained(t *testing.T) {
	url := servetest.Start(t, serve.Config{}, broken{}, broken{}).URL
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/v1/users/ann/recommendations", "", "recommendations cannot be read"},
		{"POST", "/v1/recommendations", `{"user_ids": ["ann"]}`, "recommendations cannot be read"},
		{"POST", "/v1/events", `{"event_id": "1", "user_id": "ann", "item_id": "i", "timestamp": 1750000000000}`, "events are deduplicated by event_id"},
		{"GET", "/readyz", "", "Redis does not respond"},
	} {
		r := servetest.Request(t, c.method, url+c.path, c.body)
		response, body := servetest.Send(t, r)
		if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, c.want) || strings.Contains(body, "secret") {
			t.Errorf("%s: got %d %s; want 503 with %q and without the cause", c.path, response.StatusCode, body, c.want)
		}
		compareWithOpenAPI(t, servetest.Request(t, c.method, url+c.path, c.body), response, body)
	}
	if response, _ := servetest.Send(t, servetest.Request(t, "GET", url+"/healthz", "")); response.StatusCode != http.StatusOK {
		t.Errorf("healthz is %d, want 200: a restart does not help", response.StatusCode)
	}
}

// small is a Kafka whose topic rejects the first event as too large.
type small struct{ broken }

func (small) Publish(_ context.Context, events []serve.Event) error {
	return &stream.RejectedError{Topic: "interactions", Messages: []stream.Rejected{
		{Message: kafka.Message{Key: []byte(events[0].User), Value: events[0].JSON}, Err: kafka.MessageSizeTooLarge},
	}}
}

// A retry cannot deliver events that Kafka rejects.
func TestRejectedEventsGet413(t *testing.T) {
	url := servetest.Start(t, serve.Config{}, small{}, small{}).URL
	send := func() *http.Request {
		return servetest.Request(t, "POST", url+"/v1/events", `[{"event_id": "1", "user_id": "ann", "item_id": "i", "timestamp": 1750000000000},
			{"event_id": "2", "user_id": "bob", "item_id": "i", "timestamp": 1750000000000}]`)
	}
	response, body := servetest.Send(t, send())
	if response.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, "1 of 2 events") {
		t.Errorf("got %d %s; want 413 for 1 of 2 events", response.StatusCode, body)
	}
	compareWithOpenAPI(t, send(), response, body)
}

func TestReadinessFollowsRedis(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	fill(t, rdb)
	url := servetest.Start(t, serve.Config{}, recs.New(rdb, recs.Options{}), nil).URL
	status := func(path string) int {
		response, _ := servetest.Send(t, servetest.Request(t, "GET", url+path, ""))
		return response.StatusCode
	}
	servers.StopRedis()
	if ready, read := status("/readyz"), status("/v1/users/ann/recommendations"); ready != 503 || read != 503 {
		t.Errorf("without Redis, readyz is %d and reading %d; want 503", ready, read)
	}
	servers.RestartRedis()
	embeddedtest.Eventually(t, func() string {
		if ready, read := status("/readyz"), status("/v1/users/ann/recommendations"); ready != 200 || read != 200 {
			return fmt.Sprintf("with Redis again, readyz is %d and reading %d; want 200", ready, read)
		}
		return ""
	})
}

// slow blocks reads until they are released.
type slow struct {
	broken
	started, release chan struct{}
}

func (s slow) Read(_ context.Context, users []string, _ recs.Query) ([]recs.Answer, error) {
	s.started <- struct{}{}
	<-s.release
	return make([]recs.Answer, len(users)), nil
}

func TestShutdownWaitsForRequests(t *testing.T) {
	reader := slow{started: make(chan struct{}), release: make(chan struct{})}
	running := servetest.Start(t, serve.Config{}, reader, nil)
	var wait sync.WaitGroup
	wait.Go(func() {
		response, body := servetest.Send(t, servetest.Request(t, "GET", running.URL+"/v1/users/ann/recommendations", ""))
		if response.StatusCode != http.StatusOK {
			t.Errorf("a request in flight during the shutdown got %d %s", response.StatusCode, body)
		}
	})
	<-reader.started
	wait.Go(running.Service.Stop)
	close(reader.release)
	wait.Wait()
}

func TestConcurrencyLimit(t *testing.T) {
	reader := slow{started: make(chan struct{}), release: make(chan struct{})}
	url := servetest.Start(t, serve.Config{}, reader, nil).URL
	post := func() (servetest.Response, string) {
		return servetest.Send(t, servetest.Request(t, "POST", url+"/v1/recommendations", `{"user_ids": ["ann"]}`))
	}
	var wait sync.WaitGroup
	for range serve.MaxBodies {
		wait.Go(func() { post() })
	}
	for range serve.MaxBodies {
		<-reader.started
	}
	if response, body := post(); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("one more request got %d %s, want 503 and Retry-After", response.StatusCode, body)
	}
	close(reader.release)
	wait.Wait()
}

func TestInvalidConfig(t *testing.T) {
	for _, c := range []struct {
		cfg  serve.Config
		want string
	}{
		{serve.Config{Address: "x:1", Tokens: []string{strings.Repeat("a", serve.MinToken), "secret"}}, "token 2 of 2 has 6 characters"},
		{serve.Config{Address: "x:1", Rate: -1}, "rate limit -1"},
		{serve.Config{}, "no address"},
	} {
		if _, err := serve.New(c.cfg, broken{}, nil); err == nil || !strings.Contains(err.Error(), c.want) || regexp.MustCompile("secret|aaa").MatchString(err.Error()) {
			t.Errorf("error %v, want one with %q and no token", err, c.want)
		}
	}
}
