package stream

import (
	"fmt"
	"time"
)

// Start says where in a partition to begin.
type Start struct {
	latest bool
	at     time.Time
}

// The beginning and the end of a partition.
var (
	Earliest = Start{}
	Latest   = Start{latest: true}
)

// ParseStart reads "earliest", "latest", or an RFC 3339 time.
func ParseStart(text string) (Start, error) {
	switch text {
	case "earliest":
		return Earliest, nil
	case "latest":
		return Latest, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return Start{}, fmt.Errorf("%q is neither earliest, latest nor a time like 2026-03-01T12:00:00Z", text)
	}
	return Start{at: at}, nil
}

func (s Start) String() string {
	switch {
	case s.latest:
		return "latest"
	case s.at.IsZero():
		return "earliest"
	}
	return s.at.Format(time.RFC3339)
}

// Since returns the start at a time.
func Since(at time.Time) Start { return Start{at: at} }
