// Package scenarios tells in testdata what users of the whole stream can rely on, and
// tests that it is so: events go in through Kafka, ingest and inference work, and what is
// then in Redis and Kafka is compared.
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
//	start ingest, start infer    one more of them
//	stop ingest, stop infer      the one that has run for longest
//	redeliver                    Kafka will deliver all events again to the next ingest
//	redis away, redis back
//	model NAME…                  let a version of the model serve, or several, NAME:PERCENT
//	send                         the events of the following lines, in that order:
//	                             an id, a time, a user, an item and perhaps a rec_id, or
//	                             "raw" and any text
//
// or one that asks, once all that runs has finished its work. After the line ---- comes
// the answer that is expected:
//
//	sequence USER
//	refreshed USER               the sequence version in the newest refresh
//	recommendations USER         the model version, whether they belong to the sequence
//	                             as it is, and the items
//	hits VERSION                 what came of its recommendations: stop infer before
//	dead letters                 reason and value, sorted
//
// The model recommends something like each of a user's items, like the newest one first,
// and fails for a user who has the item "poison".
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
			w := newWorld(t)
			for block := range strings.SplitSeq(string(script), "\n\n") {
				runStep(t, w, withoutComments(block))
			}
		})
	}
}

func runStep(t *testing.T, w *world, block string) {
	t.Helper()
	input, want, asks := strings.Cut(block, "----\n")
	input = strings.TrimSpace(input)
	step, lines, _ := strings.Cut(input, "\n")
	verb, object, _ := strings.Cut(step, " ")
	if asks {
		if got := w.ask(verb, object); got != want {
			t.Errorf("%s: got\n%swant\n%s", step, got, want)
		}
		return
	}
	switch verb {
	case "": // comments alone
	case "start":
		w.start(object)
	case "stop":
		w.stop(object)
	case "redeliver":
		w.redeliver()
	case "redis":
		w.redis(object)
	case "model":
		shares, err := registry.ParseShares(strings.Fields(object))
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		w.models.serve(shares)
	case "send":
		w.send(strings.Split(lines, "\n"))
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
