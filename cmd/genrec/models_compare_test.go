package main

import (
	"encoding/json"
	"regexp"
	"testing"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/retrain/compare"
)

func TestModelsCompare(t *testing.T) {
	servers, _ := embeddedtest.Start(t)
	location := t.TempDir()
	t.Setenv("GENREC_MODELS", location)
	publishVersions(t, location, t.TempDir())
	printed, err := runCommand(t, "models", "compare", "v000001", "v000002", "--redis", servers.RedisAddr(), "--days", "90")
	if want := `VERSION .*\nv000001 +0 % +0.2500`; err != nil || !regexp.MustCompile(want).MatchString(printed) {
		t.Errorf("error %v, printed\n%s\nwant %s", err, printed, want)
	}
	printed, err = runCommand(t, "models", "compare", "--json")
	var decoded compare.Comparison
	if err != nil || json.Unmarshal([]byte(printed), &decoded) != nil || len(decoded.Versions) != 3 {
		t.Errorf("error %v, printed %s; want JSON of three versions", err, printed)
	}
	if _, err := runCommand(t, "models", "compare", "v000009"); err == nil {
		t.Error("a missing version was compared")
	}
}
