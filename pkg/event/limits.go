package event

import "time"

// Defaults of Limits.
const (
	DefaultMaxBytes = 64 << 10
	DefaultMaxAhead = 24 * time.Hour
)

// Limits says which events Decode accepts.
type Limits struct {
	MaxBytes int           // largest encoded event
	Types    []string      // accepted interaction types
	Earliest time.Time     // an older timestamp is most likely in the wrong unit
	MaxAhead time.Duration // tolerated clock difference of producers that run ahead
}

// DefaultLimits returns the limits that schema.json publishes.
func DefaultLimits() Limits {
	return Limits{
		MaxBytes: DefaultMaxBytes,
		Types:    []string{DefaultType, "click", "add_to_cart", "purchase", "like", "rate"},
		Earliest: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		MaxAhead: DefaultMaxAhead,
	}
}
