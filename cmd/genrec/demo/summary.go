package demo

import (
	"encoding/json"
	"fmt"
	"time"
)

// Summary is what a demonstration found.
type Summary struct {
	Events, LiveEvents, Users int
	HR10, PopularityHR10      float64
	FreshnessP50              time.Duration
	FreshnessP99              time.Duration
	ModelVersions             int
}

// String is the machine-readable line.
func (s Summary) String() string {
	return fmt.Sprintf("demo events=%d users=%d hr10=%.4f popularity_hr10=%.4f freshness_p50_ms=%d freshness_p99_ms=%d model_versions=%d",
		s.Events, s.Users, s.HR10, s.PopularityHR10, s.FreshnessP50.Milliseconds(), s.FreshnessP99.Milliseconds(), s.ModelVersions)
}

// words are for the page.
func (s Summary) words() string {
	return fmt.Sprintf("%d live events, hit rate at 10 of %.1f %%, of what was popular until then %.1f %%, from event to list %d ms, of 99 %% within %d ms",
		s.LiveEvents, 100*s.HR10, 100*s.PopularityHR10, s.FreshnessP50.Milliseconds(), s.FreshnessP99.Milliseconds())
}

// MarshalJSON has the fields of that line.
func (s Summary) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"events": s.Events, "live_events": s.LiveEvents, "users": s.Users, "hr@10": s.HR10, "popularity_hr@10": s.PopularityHR10,
		"freshness_p50_ms": s.FreshnessP50.Milliseconds(), "freshness_p99_ms": s.FreshnessP99.Milliseconds(), "model_versions": s.ModelVersions,
	})
}

func (d *demo) summary() Summary {
	s := Summary{
		Events: d.produced, LiveEvents: d.score.events, Users: Users(d.Events[:d.produced]),
		HR10: d.score.rate(), PopularityHR10: d.score.popularRate(),
		FreshnessP50: d.freshness.quantile(0.5), FreshnessP99: d.freshness.quantile(0.99),
		ModelVersions: d.versions,
	}
	d.say("5/5  summary")
	d.say("  %d events of %d users went through Kafka, %d of them live", s.Events, s.Users, s.LiveEvents)
	d.say("  hit rate at 10 of the lists that stood before each live event: %.4f, popular items: %.4f", s.HR10, s.PopularityHR10)
	d.say("  freshness, event produced to recommendations written: p50 %d ms, p99 %d ms", s.FreshnessP50.Milliseconds(), s.FreshnessP99.Milliseconds())
	second := "the first one kept"
	if d.swapped {
		second = "the second swapped in while the stream ran"
	}
	d.say("  %d model versions, %s", s.ModelVersions, second)
	return s
}
