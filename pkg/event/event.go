// Package event defines the interaction event, what a user did with an item, and its JSON form,
// which schema.json publishes.
//
// Decode parses and validates an event (validate.go). Most events take a fast path without
// encoding/json (fast_path.go); it accepts a subset of the events, with the same result.
package event

import (
	_ "embed"
	"encoding/json"
	"time"
)

// Schema is the JSON Schema (2020-12) of an event with the default limits. It cannot express
// lengths in bytes or the window of accepted times: Decode may reject an event that the schema
// accepts, but never accepts one that the schema rejects.
//
//go:embed schema.json
var Schema []byte

// DefaultType is the type of an event without one.
const DefaultType = "view"

// Event is an interaction of a user with an item.
type Event struct {
	ID      string          // unique id; events with the same id are deduplicated
	User    string          // user id
	Item    string          // item id
	Type    string          // interaction type, one of Limits.Types
	Time    time.Time       // of the interaction, in UTC with millisecond precision
	Context json.RawMessage // a JSON object; nil when absent
	RecID   string          // rec_id of the recommendations that led to it; empty when absent
}

// MarshalJSON returns the JSON form that Decode parses, with the timestamp in milliseconds since
// the Unix epoch.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID        string          `json:"event_id"`
		User      string          `json:"user_id"`
		Item      string          `json:"item_id"`
		Timestamp int64           `json:"timestamp"`
		Type      string          `json:"type,omitempty"`
		Context   json.RawMessage `json:"context,omitempty"`
		RecID     string          `json:"rec_id,omitempty"`
	}{e.ID, e.User, e.Item, e.Time.UnixMilli(), e.Type, e.Context, e.RecID})
}

// Defaults of Limits.
const (
	DefaultMaxBytes = 64 << 10
	DefaultMaxAhead = 24 * time.Hour
)

// Limits are the configurable limits of valid events.
type Limits struct {
	MaxBytes int           // of the JSON form
	Types    []string      // accepted interaction types
	Earliest time.Time     // oldest accepted timestamp; older ones are most likely in another unit
	MaxAhead time.Duration // how far a timestamp may be ahead of the clock: tolerates clock skew of producers
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
