// Package scenarios tests the whole stream with scripts in testdata: events are sent to Kafka, ingest and
// inference run, and the contents of Redis and Kafka are compared with the expected ones. The scripts
// document the guarantees of the stream.
package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/registry"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// TestScenarios runs the scripts in testdata. A script has a block per step, blank lines
// between them, and comments that start with #. A step is
//
//	start ingest, start infer    start one more process
//	stop ingest, stop infer      stop the oldest process
//	redeliver                    reset the offsets of ingest, so that all events are delivered again
//	redis down, redis up         stop and restart Redis
//	model NAME…                  set the serving set: a version, or several as NAME:PERCENT
//	send                         send the events of the following lines in order: an id, a time, a
//	                             user, an item and optionally a rec_id; or "raw" and any text
//
// or a query, which waits until the running services have no lag. The expected result follows the line
// ----:
//
//	sequence USER
//	refreshed USER               the sequence version in the newest refresh
//	recommendations USER         the model version, whether they were generated from the newest
//	                             sequence, and the items
//	hits VERSION                 online counts of its recommendations; stop infer first
//	dead letters                 reason and value, sorted
//
// The model recommends one similar item for each item of the user, the newest first. It fails for users
// with the item "poison".
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			env := newEnvironment(t)
			for block := range strings.SplitSeq(string(script), "\n\n") {
				runStep(t, env, withoutComments(block))
			}
		})
	}
}

func runStep(t *testing.T, env *environment, block string) {
	t.Helper()
	input, want, isQuery := strings.Cut(block, "----\n")
	input = strings.TrimSpace(input)
	step, lines, _ := strings.Cut(input, "\n")
	verb, object, _ := strings.Cut(step, " ")
	if isQuery {
		if got := env.query(verb, object); got != want {
			t.Errorf("%s: got\n%swant\n%s", step, got, want)
		}
		return
	}
	switch verb {
	case "": // comments alone
	case "start":
		env.start(object)
	case "stop":
		env.stop(object)
	case "redeliver":
		env.redeliver()
	case "redis":
		env.redis(object)
	case "model":
		shares, err := registry.ParseShares(strings.Fields(object))
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		env.models.serve(shares)
	case "send":
		env.send(strings.Split(lines, "\n"))
	default:
		t.Fatalf("unknown step %q", step)
	}
}

func withoutComments(block string) string {
	var b strings.Builder
	for line := range strings.Lines(block) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return b.String()
}
