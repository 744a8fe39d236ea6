package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/test/harness"
)

// Published addresses according to docs/DEPLOY.md.
const (
	kafkaAddress = "localhost:9092"
	redisAddress = "localhost:6379"
	servePort    = "http://localhost:8080"
	grafana      = "http://localhost:3000"
	prometheus   = "http://localhost:9090"
	jaeger       = "http://localhost:16686"
)

const (
	users, items, eventsPerUser = 40, 25, 10 // each user takes consecutive items of a cycle
	reader                      = "user-0"
	components                  = 4 // ingest, infer, serve, retrain
)

// use sends events and checks every service at its published port.
func (s *stack) use(ctx context.Context) error {
	started := time.Now()
	if err := postEvents(ctx); err != nil {
		return err
	}
	err := harness.Eventually(ctx, "recommendations by a model", 4*time.Minute, func(ctx context.Context) error {
		answer, err := recommended(ctx)
		if err == nil && answer.Source != recs.SourceModel {
			err = fmt.Errorf("user %s has recommendations of source %q", reader, answer.Source)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.recommendations = time.Since(started)
	for _, check := range []struct {
		what  string
		check func(context.Context) error
	}{
		{"an event sent to Kafka changes the list in Redis", followEvent},
		{"Prometheus scrapes all components", checkPrometheus},
		{"Grafana has the dashboard and reaches Prometheus", checkGrafana},
		{"Jaeger has a trace of an event through all services", checkJaeger},
	} {
		if err := harness.Eventually(ctx, check.what, time.Minute, check.check); err != nil {
			return err
		}
	}
	return nil
}

func eventOf(user, number int) event.Event {
	return event.Event{
		ID: fmt.Sprintf("%d-%d", user, number), User: fmt.Sprintf("user-%d", user),
		Item: fmt.Sprintf("item-%d", (user+number)%items),
		Time: time.Now().Add(time.Duration(number-eventsPerUser) * time.Minute),
	}
}

func postEvents(ctx context.Context) error {
	var all []event.Event
	for user := range users {
		for number := range eventsPerUser {
			all = append(all, eventOf(user, number))
		}
	}
	body, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return harness.Eventually(ctx, "serve accepts events", time.Minute, func(ctx context.Context) error {
		return fetch(ctx, http.MethodPost, servePort+"/v1/events", body, nil)
	})
}

func recommended(ctx context.Context) (answer recs.Answer, err error) {
	return answer, fetch(ctx, http.MethodGet, servePort+"/v1/users/"+reader+"/recommendations", nil, &answer)
}

// followEvent sends a new event of the reader and waits for an updated list.
func followEvent(ctx context.Context) error {
	rdb := redis.NewClient(&redis.Options{Addr: redisAddress, ContextTimeoutEnabled: true})
	defer rdb.Close()
	client := recs.New(rdb, recs.Options{})
	before, err := client.Read(ctx, []string{reader}, recs.Query{})
	if err != nil {
		return err
	}
	e := eventOf(0, eventsPerUser)
	e.ID = e.Time.String()
	writer := stream.NewWriter(stream.Cluster{Brokers: []string{kafkaAddress}}, stream.DefaultTopics().Interactions)
	err = writer.WriteMessages(ctx, harness.Message(e))
	if err := errors.Join(err, writer.Close()); err != nil {
		return fmt.Errorf("write to Kafka at %s: %w", kafkaAddress, err)
	}
	return harness.Eventually(ctx, "the list is newer", 10*time.Second, func(ctx context.Context) error {
		after, err := client.Read(ctx, []string{reader}, recs.Query{})
		if err == nil && after[0].SequenceVersion <= before[0].SequenceVersion {
			err = fmt.Errorf("the list of %s in Redis at %s is still of sequence version %d", reader, redisAddress, after[0].SequenceVersion)
		}
		return err
	})
}

func checkPrometheus(ctx context.Context) error {
	var targets struct {
		Data struct {
			ActiveTargets []struct {
				ScrapeURL, Health, LastError string
			}
		}
	}
	if err := fetch(ctx, http.MethodGet, prometheus+"/api/v1/targets", nil, &targets); err != nil {
		return err
	}
	var problems []error
	for _, target := range targets.Data.ActiveTargets {
		if target.Health != "up" {
			problems = append(problems, fmt.Errorf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError))
		}
	}
	if len(targets.Data.ActiveTargets) != components {
		problems = append(problems, fmt.Errorf("%d targets, want %d", len(targets.Data.ActiveTargets), components))
	}
	var rules struct{ Data struct{ Groups []any } }
	if err := fetch(ctx, http.MethodGet, prometheus+"/api/v1/rules", nil, &rules); err != nil {
		return err
	}
	if len(rules.Data.Groups) == 0 {
		problems = append(problems, errors.New("no rules"))
	}
	return errors.Join(problems...)
}

func checkGrafana(ctx context.Context) error {
	var dashboards []struct{ Title string }
	if err := fetch(ctx, http.MethodGet, grafana+"/api/search?type=dash-db", nil, &dashboards); err != nil {
		return err
	}
	if len(dashboards) == 0 {
		return errors.New("no dashboard")
	}
	var answer struct{ Data struct{ Result []any } }
	if err := fetch(ctx, http.MethodGet, grafana+"/api/datasources/proxy/uid/prometheus/api/v1/query?query=up", nil, &answer); err != nil {
		return err
	}
	if len(answer.Data.Result) == 0 {
		return errors.New("the Prometheus data source of Grafana returns no series")
	}
	return nil
}

func checkJaeger(ctx context.Context) error {
	var traces struct {
		Data []struct {
			Processes map[string]struct{ ServiceName string }
		}
	}
	if err := fetch(ctx, http.MethodGet, jaeger+"/api/traces?limit=1000&service="+url.QueryEscape("genrec infer"), nil, &traces); err != nil {
		return err
	}
	var longest []string
	for _, trace := range traces.Data {
		var services []string
		for _, process := range trace.Processes {
			services = append(services, process.ServiceName)
		}
		slices.Sort(services)
		services = slices.Compact(services)
		if len(services) > len(longest) {
			longest = services
		}
	}
	if want := []string{"genrec infer", "genrec ingest", "genrec serve"}; !slices.Equal(longest, want) {
		return fmt.Errorf("the longest of %d traces has services %q, want %q", len(traces.Data), longest, want)
	}
	return nil
}

// fetch sends a request and decodes the JSON response unless answer is nil.
func fetch(ctx context.Context, method, address string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, address, err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, address, response.Status, lastLines(string(text), 5))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, address, err)
	}
	return nil
}
