package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"genrec/inference/versions"
	"genrec/model"
	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/retrain"
	"genrec/serve/playground"
	"genrec/sessions"
)

var end = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

type noProgress struct{}

func (noProgress) Start(string, int, int) {}
func (noProgress) Step(float64)           {}
func (noProgress) Finish()                {}

// page counts what it is told.
type page struct{ said, written, trained atomic.Int64 }

func (p *page) SetStatus(string)           { p.said.Add(1) }
func (p *page) Written(playground.Written) { p.written.Add(1) }
func (p *page) Train(ctx context.Context, train func(context.Context) (string, error)) error {
	outcome, err := train(ctx)
	if outcome != "" {
		p.trained.Add(1)
	}
	return err
}

func TestRun(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	models, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	training := retrain.DefaultConfig()
	training.PretrainEpochs, training.FinetuneEpochs, training.MinSteps = 1, 2, 0
	training.Progress = noProgress{}
	events, _ := Synthetic(1, end)
	events = events[:3000]
	var out bytes.Buffer
	var summary Summary
	page := &page{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const stays = 500 * time.Millisecond
	var measured time.Time
	err = Run(ctx, Config{
		Events: events, Live: 200, Rate: 100,
		Kafka: stream.Cluster{Brokers: servers.KafkaBrokers()}, Store: store, Models: models,
		Serve:   &versions.Versions{Registry: models, Device: model.CPU, Ranker: model.DefaultRankerConfig()},
		Retrain: training, Background: noProgress{}, Out: &out,
		Page: page, Stay: true, OnSummary: func(s Summary) {
			summary, measured = s, time.Now()
			time.AfterFunc(stays, stop)
		},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if summary.Events != len(events) || summary.LiveEvents != 200 || summary.ModelVersions != 2 || summary.Users == 0 {
		t.Errorf("the summary says %+v", summary)
	}
	if summary.PopularityHR10 == 0 || summary.FreshnessP50 <= 0 || summary.FreshnessP99 < summary.FreshnessP50 {
		t.Errorf("the measurements are %+v", summary)
	}
	if !strings.Contains(out.String(), "now recommended:") {
		t.Errorf("no answer was shown live:\n%s", out.String())
	}
	if after := time.Since(measured); after < stays {
		t.Errorf("it ended %v after the replay, want it to stay until it is stopped", after)
	}
	if page.said.Load() != 5 || page.trained.Load() != 2 || page.written.Load() < 200 {
		t.Errorf("the page was told %d steps, %d trainings and %d lists, want 5, 2 and all lists", page.said.Load(), page.trained.Load(), page.written.Load())
	}
	line := regexp.MustCompile(`^demo events=\d+ users=\d+ hr10=0\.\d{4} popularity_hr10=0\.\d{4} freshness_p50_ms=\d+ freshness_p99_ms=\d+ model_versions=2$`)
	if !line.MatchString(summary.String()) {
		t.Errorf("the last line is %q", summary)
	}
}

func TestSyntheticShop(t *testing.T) {
	events, items := Synthetic(7, end)
	if again, _ := Synthetic(7, end); !slices.EqualFunc(events, again, func(a, b event.Event) bool {
		return a.ID == b.ID && a.User == b.User && a.Item == b.Item && a.Time.Equal(b.Time)
	}) {
		t.Error("one seed gave two shops")
	}
	titles := make(map[string]bool)
	for _, item := range items {
		titles[item.Title] = true
	}
	if len(titles) != syntheticItems {
		t.Errorf("%d items have %d titles, want one of its own for each", syntheticItems, len(titles))
	}
	counts := make(map[string]int)
	for i, e := range events {
		counts[e.Item]++
		if i > 0 && e.Time.Before(events[i-1].Time) {
			t.Fatalf("event %d comes before the one in front of it", i)
		}
		if _, err := event.Decode(mustJSON(t, e), end, event.DefaultLimits()); err != nil {
			t.Fatalf("event %d would be refused: %v", i, err)
		}
	}
	sorted := make([]int, 0, len(counts))
	for _, n := range counts {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	if most, middle := sorted[len(sorted)-1], sorted[len(sorted)/2]; most < 5*middle {
		t.Errorf("the most popular item has %d events, the median one %d: popularity should be skewed", most, middle)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("ann a b c\n\nbob b d\n")
	events, err := Load(path, 1, end)
	if err != nil {
		t.Fatal(err)
	}
	byUser := make(map[string]string)
	for _, e := range events {
		byUser[e.User] += e.Item
		if e.Time.After(end) || e.Time.Before(end.Add(-span)) {
			t.Errorf("event %s is at %v, outside of the span", e.ID, e.Time)
		}
	}
	if byUser["ann"] != "abc" || byUser["bob"] != "bd" {
		t.Errorf("the items come in the order %v, want that of the file", byUser)
	}
	for text, want := range map[string]string{"ann a\nbob\n": "line 2", "": "no lines"} {
		write(text)
		if _, err := Load(path, 1, end); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("file %q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestPopularity(t *testing.T) {
	p := newPopularity()
	for i := range 20 {
		for range 20 - i {
			p.add("crowd", fmt.Sprintf("item-%02d", i))
		}
	}
	p.add("ann", "item-00")
	for item, want := range map[string]bool{"item-00": false, "item-01": true, "item-10": true, "item-11": false} {
		if got := p.contains("ann", item, 10); got != want {
			t.Errorf("%s among ann's 10 most popular: %v, want %v (she has item-00)", item, got, want)
		}
	}
}

func TestFreshness(t *testing.T) {
	var f freshness
	now := time.Now()
	if _, counts := f.add(now, now); counts {
		t.Error("an event before the start was counted")
	}
	f.start()
	for ms := 1; ms <= 100; ms++ {
		produced := time.Now()
		f.add(produced, produced.Add(time.Duration(ms)*time.Millisecond))
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		if got := f.quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func mustJSON(t *testing.T, e event.Event) []byte {
	t.Helper()
	data, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
