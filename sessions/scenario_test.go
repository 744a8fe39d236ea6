package sessions

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
)

// TestScenarios runs the scripts in testdata. A script has a block per step,
// blank lines between them, and comments that start with #. A step is
//
//	window N        open the store with that window
//	append USER     insert the events of the following lines
//	sequence USER   read the sequence
//
// and the expected result follows after the line ----.
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
			run := scenario{t: t, rdb: newClient(t)}
			for _, block := range strings.Split(string(script), "\n\n") {
				run.step(block)
			}
		})
	}
}

type scenario struct {
	t     *testing.T
	rdb   *redis.Client
	store *Store
}

func (s *scenario) step(block string) {
	s.t.Helper()
	input, want, _ := strings.Cut(withoutComments(block), "----\n")
	lines := strings.Split(strings.TrimSpace(input), "\n")
	command, argument, _ := strings.Cut(lines[0], " ")
	var got string
	switch command {
	case "": // only comments
	case "window":
		s.open(argument)
	case "append":
		a := s.store.mustAppend(s.t, argument, parseEvents(s.t, lines[1:])...)
		got = fmt.Sprintf("version %d, added %d\n", a.Version, a.Added)
	case "sequence":
		got = format(s.store.sequence(s.t, argument))
	default:
		s.t.Fatalf("unknown step %q", lines[0])
	}
	if got != want {
		s.t.Errorf("after\n%s\ngot\n%s\nwant\n%s", input, got, want)
	}
}

func (s *scenario) open(window string) {
	s.t.Helper()
	n, err := strconv.Atoi(window)
	if err != nil {
		s.t.Fatalf("window %q: %v", window, err)
	}
	o := Options{Window: n}
	if s.store != nil {
		o.Prefix = s.store.opts.Prefix
	}
	s.store = open(s.t, s.rdb, o)
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

const eventTime = "15:04:05.000"

// parseEvents reads lines like "e1 10:00:00.000 view shoes".
func parseEvents(t *testing.T, lines []string) []event.Event {
	t.Helper()
	events := make([]event.Event, len(lines))
	for i, line := range lines {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			t.Fatalf("event %q: want an id, a time, a type and an item", line)
		}
		at, err := time.Parse(time.DateOnly+" "+eventTime, "2026-03-01 "+fields[1])
		if err != nil {
			t.Fatalf("event %q: %v", line, err)
		}
		events[i] = event.Event{ID: fields[0], Time: at, Type: fields[2], Item: fields[3]}
	}
	return events
}

func format(sequence Sequence) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version %d\n", sequence.Version)
	for _, i := range sequence.Interactions {
		fmt.Fprintf(&b, "%s %s %s %s\n", i.EventID, i.Time.Format(eventTime), i.Type, i.Item)
	}
	return b.String()
}
