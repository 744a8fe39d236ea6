package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/registry"
	"genrec/retrain"
	"genrec/retrain/gate"
)

// The exit code says how a training ended.
func TestExitCodes(t *testing.T) {
	passed := retrain.Report{Version: "v000003", Gate: gate.Verdict{Promoted: true}}
	waiting := passed
	waiting.Split = []registry.Share{{Version: "v000001", Percent: 60}, {Version: "v000002", Percent: 40}}
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{retrain.Report{Version: "v000003", Gate: gate.Verdict{Reason: "worse", Baseline: "v000001"}}.NotServed(), 3, "kept v000001, v000003 was refused: worse"},
		{waiting.NotServed(), 4, "v000001:60 v000002:40: genrec models promote v000003 makes it serve"},
		{fmt.Errorf("read: %w", retrain.ErrNoData), 5, "not enough data to train on"},
		{errors.New("the disk is full"), 1, "the disk is full"},
		{fmt.Errorf("begin: %w", settings.Join(errors.New("--redis is required"))), 2, "--redis is required"},
	} {
		if code := exitCode(c.err); code != c.code || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v: exit code %d, want %d and %q", c.err, code, c.code, c.want)
		}
	}
	if err := passed.NotServed(); err != nil {
		t.Errorf("a version that serves: error %v", err)
	}
}

// docs/CONFIGURATION.md lists exactly the exit codes of genrec.
func TestConfigurationListsExitCodes(t *testing.T) {
	page, err := os.ReadFile("../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []int
	for _, match := range regexp.MustCompile(`(?m)^\| (\d+) \| `).FindAllStringSubmatch(string(page), -1) {
		code, _ := strconv.Atoi(match[1])
		told = append(told, code)
	}
	want := append(slices.Collect(maps.Keys(exitCodes)), 0, exitFailure, exitInterrupted)
	slices.Sort(want)
	if !slices.Equal(told, want) {
		t.Errorf("docs/CONFIGURATION.md lists the exit codes %v, genrec has %v", told, want)
	}
}
