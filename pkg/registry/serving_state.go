package registry

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Change is a change of the serving state. The state file CURRENT holds changes, one per line,
// newest first, so that its first line says what is served:
//
//	2026-03-02T09:30:00Z rollback v000001
//	2026-03-02T03:10:00Z promote v000001:90 v000002:10
//	2026-03-01T03:10:00Z promote v000001
//
// Current state and earlier changes are one file and therefore change atomically.
type Change struct {
	Time    time.Time  `json:"time"`    // with a resolution of seconds
	Kind    ChangeKind `json:"kind"`    // promotion or rollback
	Serving []Share    `json:"serving"` // the shares after the change
}

// ChangeKind is the kind of a Change.
type ChangeKind string

// Kinds of changes.
const (
	KindPromote  ChangeKind = "promote"
	KindRollback ChangeKind = "rollback"
)

// maxChanges bounds the number of changes in the state file.
const maxChanges = 200

// servingStack returns what is served now, followed by what rollbacks return to. A promotion
// pushes onto the stack, a rollback pops.
func servingStack(changes []Change) [][]Share {
	var stack [][]Share // oldest first
	for i := len(changes) - 1; i >= 0; i-- {
		if changes[i].Kind == KindRollback && len(stack) > 0 {
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				continue
			}
		}
		stack = append(stack, changes[i].Serving) // also for a rollback whose target was truncated
	}
	newestFirst := make([][]Share, 0, len(stack))
	for i := len(stack) - 1; i >= 0; i-- {
		newestFirst = append(newestFirst, stack[i])
	}
	return newestFirst
}

// indexOf returns the index at which the changes continue with those written before, or -1. It
// compares the whole tail, as two changes may be equal.
func indexOf(changes, written []Change) int {
	for at := range changes {
		n := min(len(written), len(changes)-at) // the oldest may be truncated
		if bytes.Equal(formatChanges(changes[at:at+n]), formatChanges(written[:n])) && (n == len(written) || len(changes) >= maxChanges) {
			return at
		}
	}
	return -1
}

func formatChanges(changes []Change) []byte {
	var out bytes.Buffer
	for _, c := range changes[:min(len(changes), maxChanges)] {
		fmt.Fprintf(&out, "%s %s %s\n", c.Time.UTC().Format(time.RFC3339), c.Kind, FormatShares(c.Serving))
	}
	return out.Bytes()
}

func parseChanges(data []byte) (changes []Change, err error) {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i, line := range lines[:min(len(lines), maxChanges)] {
		c, err := parseChange(line)
		if err != nil {
			return nil, fmt.Errorf("line %d, %.80q: %w", i+1, line, err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func parseChange(line string) (c Change, err error) {
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return c, errors.New("want TIME KIND VERSION…")
	}
	if c.Time, err = time.Parse(time.RFC3339, fields[0]); err != nil {
		return c, err
	}
	if c.Kind = ChangeKind(fields[1]); c.Kind != KindPromote && c.Kind != KindRollback {
		return c, fmt.Errorf("unknown kind %q: want %s or %s", fields[1], KindPromote, KindRollback)
	}
	if c.Serving, err = ParseShares(fields[2:]); err != nil {
		return c, err
	}
	return c, nil
}
