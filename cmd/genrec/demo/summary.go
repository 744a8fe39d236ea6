package demo

import (
	"encoding/json"
	"fmt"
	"time"
)

// Summary is the result of a demo.
type Summary struct {
	Events         int           // sent through Kafka
	LiveEvents     int           // of those, sent at the live rate
	Users          int           // with events
	HR10           float64       // hit rate at 10 of the lists that users had before live events
	PopularityHR10 float64       // hit rate at 10 of the most popular items
	FreshnessP50   time.Duration // from an event to new recommendations, median
	FreshnessP99   time.Duration // 99th percentile
	ModelVersions  int           // published
}

// String is the machine-readable line.
func (s Summary) String() string {
	return fmt.Sprintf("demo events=%d users=%d hr10=%.4f popularity_hr10=%.4f freshness_p50_ms=%d freshness_p99_ms=%d model_versions=%d",
		s.Events, s.Users, s.HR10, s.PopularityHR10, s.FreshnessP50.Milliseconds(), s.FreshnessP99.Milliseconds(), s.ModelVersions)
}

// sentence is the summary for the page.
func (s Summary) sentence() string {
	return fmt.Sprintf("%d live events, hit rate at 10 of %.1f %%, of the most popular items %.1f %%, from event to new list %d ms (median), %d ms (p99)",
		s.LiveEvents, 100*s.HR10, 100*s.PopularityHR10, s.FreshnessP50.Milliseconds(), s.FreshnessP99.Milliseconds())
}

// MarshalJSON has the fields of the machine-readable line.
func (s Summary) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"events": s.Events, "live_events": s.LiveEvents, "users": s.Users, "hr@10": s.HR10, "popularity_hr@10": s.PopularityHR10,
		"freshness_p50_ms": s.FreshnessP50.Milliseconds(), "freshness_p99_ms": s.FreshnessP99.Milliseconds(), "model_versions": s.ModelVersions,
	})
}

func (d *demo) summary() Summary {
	s := Summary{
		Events: d.produced, LiveEvents: d.hits.events, Users: Users(d.Events[:d.produced]),
		HR10: d.hits.rate(), PopularityHR10: d.hits.popularityRate(),
		FreshnessP50: d.freshness.quantile(0.5), FreshnessP99: d.freshness.quantile(0.99),
		ModelVersions: d.versions,
	}
	d.say("5/5  summary")
	d.say("  %d events of %d users went through Kafka, %d of them live", s.Events, s.Users, s.LiveEvents)
	d.say("  hit rate at 10 of the list that the user had before each live event: %.4f, most popular items: %.4f", s.HR10, s.PopularityHR10)
	d.say("  freshness, from event produced to recommendations written: p50 %d ms, p99 %d ms", s.FreshnessP50.Milliseconds(), s.FreshnessP99.Milliseconds())
	second := "the first one kept serving"
	if d.replaced {
		second = "the second one replaced the first while the stream went on"
	}
	d.say("  %d model versions, %s", s.ModelVersions, second)
	return s
}
