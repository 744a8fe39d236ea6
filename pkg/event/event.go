// Package event defines the interaction event: what a user did with an item,
// and its JSON form, which schema.json publishes.
package event

import (
	_ "embed"
	"encoding/json"
	"time"
)

// Schema is the JSON Schema (2020-12) of an event with the default limits. It
// cannot state lengths in bytes or the window of accepted times: Decode can
// refuse an event that the schema accepts, never the other way round.
//
//go:embed schema.json
var Schema []byte

// DefaultType is the type of an event that names none.
const DefaultType = "view"

// Event is one interaction of a user with an item.
type Event struct {
	ID, User, Item, Type string
	Time                 time.Time       // millisecond precision, UTC
	Context              json.RawMessage // a JSON object; nil when absent
	RecID                string          // of the recommendations that the user acted on; empty when absent
}

// MarshalJSON returns the wire format that Decode reads, with the timestamp in
// milliseconds since the Unix epoch.
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
