package main

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/sessions"
)

func TestModelsCompare(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	location := t.TempDir()
	t.Setenv("GENREC_MODELS", location)
	models := publishVersions(t, location, t.TempDir())
	now := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
	for _, f := range []sessions.Feedback{
		{Version: "v000001", Day: "2026-02-28", Interactions: 1000, Hits: 900, Users: []uint64{9}}, // too long ago
		{Version: "v000001", Day: "2026-03-01", Interactions: 50, Hits: 50, Users: []uint64{1}},
		{Version: "v000001", Day: "2026-03-07", Interactions: 100, Hits: 40, Users: []uint64{1, 2}},
		{Version: "v000002", Day: "2026-03-07", Interactions: 100, Hits: 60, Users: []uint64{3}},
	} {
		if err := store.AddFeedback(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	c, err := compareVersions(t.Context(), models, store, nil, lastDays(now, 7))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Versions) != 3 || c.Versions[2].Online != nil || c.Versions[1].Percent != 100 || c.Versions[1].Offline.LeaveOneOut.HR10 != .25 {
		t.Errorf("got %+v, want three versions, the second one in use, the third without online figures", c.Versions)
	}
	if o := c.Versions[0].Online; o == nil || o.Interactions != 150 || o.Hits != 90 || o.HitRate != .6 || o.Low > .53 || o.High < .67 {
		t.Errorf("v000001 has %+v, want 90 hits of 150 interactions", o)
	}
	if len(c.Tests) != 1 || c.Tests[0].Days != 1 || c.Tests[0].P < .004 || c.Tests[0].P > .006 {
		t.Errorf("got the tests %+v, want one of the day that both have, p = .0047", c.Tests)
	}

	printed, err := runCommand(t, "models", "compare", "v000001", "v000002", "--redis", servers.RedisAddr(), "--days", "90")
	if want := `VERSION .*\nv000001 +0 % +0.2500`; err != nil || !regexp.MustCompile(want).MatchString(printed) {
		t.Errorf("error %v, printed\n%s\nwant %s", err, printed, want)
	}
	printed, err = runCommand(t, "models", "compare", "--json")
	var decoded comparison
	if err != nil || json.Unmarshal([]byte(printed), &decoded) != nil || len(decoded.Versions) != 3 {
		t.Errorf("error %v, printed %s; want JSON of three versions", err, printed)
	}
	if _, err := runCommand(t, "models", "compare", "v000009"); err == nil {
		t.Error("a version that is not there was compared")
	}
}
