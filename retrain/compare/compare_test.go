package compare

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/registry"
	"genrec/retrain"
	"genrec/sessions"
)

// publishVersions publishes v000001 to v000003 and promotes the second one.
func publishVersions(t *testing.T) *registry.Registry {
	t.Helper()
	models, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := json.Marshal(retrain.Report{LeaveOneOut: retrain.Metrics{HR10: .25}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d, err := models.Draft()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Discard()
		if err := os.WriteFile(filepath.Join(d.Dir, retrain.MetricsFile), metrics, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := models.Promote(t.Context(), "v000002"); err != nil {
		t.Fatal(err)
	}
	return models
}

func TestVersions(t *testing.T) {
	_, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	models := publishVersions(t)
	now := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
	for _, f := range []sessions.HitCounts{
		{Version: "v000001", Day: "2026-02-28", Interactions: 1000, Hits: 900, Users: []uint64{9}}, // too long ago
		{Version: "v000001", Day: "2026-03-01", Interactions: 50, Hits: 50, Users: []uint64{1}},
		{Version: "v000001", Day: "2026-03-07", Interactions: 100, Hits: 40, Users: []uint64{1, 2}},
		{Version: "v000002", Day: "2026-03-07", Interactions: 100, Hits: 60, Users: []uint64{3}},
	} {
		if err := store.AddHits(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Versions(t.Context(), models, store, nil, LastDays(now, 7))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Versions) != 3 || c.Versions[2].Online != nil || c.Versions[1].Percent != 100 || c.Versions[1].Offline.LeaveOneOut.HR10 != .25 {
		t.Errorf("got %+v, want three versions, the second one serving, the third without online figures", c.Versions)
	}
	if o := c.Versions[0].Online; o == nil || o.Interactions != 150 || o.Hits != 90 || o.HitRate != .6 || o.Low > .53 || o.High < .67 {
		t.Errorf("v000001 has %+v, want 90 hits of 150 interactions", o)
	}
	if len(c.Tests) != 1 || c.Tests[0].Days != 1 || c.Tests[0].P < .004 || c.Tests[0].P > .006 {
		t.Errorf("got the tests %+v, want one of the day that both versions share, p = .0047", c.Tests)
	}
	var printed strings.Builder
	if err := c.Print(&printed); err != nil || !strings.HasSuffix(printed.String(), "\n\nv000002 against v000001, 1 days: hit rate +0.2000, p = 0.0047\n") {
		t.Errorf("error %v, printed\n%s", err, printed.String())
	}
	if _, err := Versions(t.Context(), models, nil, []string{"v000009"}, nil); err == nil {
		t.Error("a missing version was compared")
	}
}
