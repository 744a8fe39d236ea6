package registry

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Move is a change of what is served. The pointer is a text of moves, one a line, newest
// first, so that its first line says what is served:
//
//	2026-03-02T09:30:00Z rollback v000001
//	2026-03-02T03:10:00Z promote v000001:90 v000002:10
//	2026-03-01T03:10:00Z promote v000001
//
// Pointer and history are one file: both change in one step.
type Move struct {
	Time    time.Time `json:"time"`
	Kind    Kind      `json:"kind"`
	Serving []Share   `json:"serving"`
}

// Kind of a move.
type Kind string

// What is served changes forward, or back to what was served before.
const (
	Promote  Kind = "promote"
	Rollback Kind = "rollback"
)

// historyLength bounds the pointer.
const historyLength = 200

// standing lists what is served now, what was before it, and so on: a rollback takes away
// what it returned from.
func standing(moves []Move) [][]Share {
	var stack [][]Share // oldest first
	for i := len(moves) - 1; i >= 0; i-- {
		if moves[i].Kind == Rollback && len(stack) > 0 {
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				continue
			}
		}
		stack = append(stack, moves[i].Serving) // also where the history has been cut off
	}
	newestFirst := make([][]Share, 0, len(stack))
	for i := len(stack) - 1; i >= 0; i-- {
		newestFirst = append(newestFirst, stack[i])
	}
	return newestFirst
}

// indexOf returns where in the moves those are that were written once, -1 if they are gone.
// Moves are told apart by all that were before them, as two can be alike.
func indexOf(moves, written []Move) int {
	for at := range moves {
		n := min(len(written), len(moves)-at) // the oldest are cut off
		if bytes.Equal(formatMoves(moves[at:at+n]), formatMoves(written[:n])) && (n == len(written) || len(moves) >= historyLength) {
			return at
		}
	}
	return -1
}

func checkShares(shares []Share) error {
	sum := 0
	seen := make(map[string]bool, len(shares))
	for _, s := range shares {
		switch {
		case !versionName.MatchString(s.Version):
			return fmt.Errorf("%.64q names no version", s.Version)
		case s.Percent < 1 || s.Percent > 100:
			return fmt.Errorf("version %q cannot have %d percent of the users, only 1 to 100", s.Version, s.Percent)
		case seen[s.Version]:
			return fmt.Errorf("version %q has two shares", s.Version)
		}
		seen[s.Version] = true
		sum += s.Percent
	}
	if sum != 100 {
		return fmt.Errorf("the shares add up to %d percent, not to 100", sum)
	}
	return nil
}

func formatMoves(moves []Move) []byte {
	var out bytes.Buffer
	for _, m := range moves[:min(len(moves), historyLength)] {
		fmt.Fprintf(&out, "%s %s %s\n", m.Time.UTC().Format(time.RFC3339), m.Kind, FormatShares(m.Serving))
	}
	return out.Bytes()
}

// FormatShares writes shares as ParseShares reads them, each behind a space.
func FormatShares(shares []Share) string {
	if len(shares) == 1 && shares[0].Percent == 100 {
		return shares[0].Version
	}
	parts := make([]string, len(shares))
	for i, s := range shares {
		parts[i] = fmt.Sprintf("%s:%d", s.Version, s.Percent)
	}
	return strings.Join(parts, " ")
}

func parseMoves(data []byte) (moves []Move, err error) {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i, line := range lines[:min(len(lines), historyLength)] {
		m, err := parseMove(line)
		if err != nil {
			return nil, fmt.Errorf("line %d, %.80q: %w", i+1, line, err)
		}
		moves = append(moves, m)
	}
	return moves, nil
}

func parseMove(line string) (m Move, err error) {
	words := strings.Fields(line)
	if len(words) < 3 {
		return m, errors.New("not TIME KIND VERSION…")
	}
	if m.Time, err = time.Parse(time.RFC3339, words[0]); err != nil {
		return m, err
	}
	if m.Kind = Kind(words[1]); m.Kind != Promote && m.Kind != Rollback {
		return m, fmt.Errorf("%q is neither %s nor %s", words[1], Promote, Rollback)
	}
	if m.Serving, err = ParseShares(words[2:]); err != nil {
		return m, err
	}
	return m, nil
}

// ParseShares reads shares as VERSION:PERCENT, or one version alone, and checks them.
func ParseShares(words []string) (shares []Share, err error) {
	for _, word := range words {
		version, percent, divided := strings.Cut(word, ":")
		s := Share{Version: version, Percent: 100}
		if divided {
			if s.Percent, err = strconv.Atoi(percent); err != nil {
				return nil, fmt.Errorf("%q is not VERSION:PERCENT", word)
			}
		}
		shares = append(shares, s)
	}
	return shares, checkShares(shares)
}
