package stream

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// MaxProducedAt bounds Refresh.ProducedAt.
const MaxProducedAt = 64

// Refresh is a request to regenerate the recommendations of a user.
type Refresh struct {
	User            string  `json:"user_id"`          // user id
	SequenceVersion int64   `json:"sequence_version"` // version of the user's sequence after the append; 0: none
	ProducedAt      []int64 `json:"produced_at"`      // Unix ms at which the events that caused it were produced
}

// AddProducedAt appends times in Unix ms, oldest first, and keeps the first MaxProducedAt:
// those of the events that have waited longest.
func (r *Refresh) AddProducedAt(ms ...int64) {
	room := max(0, MaxProducedAt-len(r.ProducedAt))
	r.ProducedAt = append(r.ProducedAt, ms[:min(room, len(ms))]...)
}

// Message encodes the refresh. Its key is the user id, so that the refreshes of a user stay in
// order.
func (r Refresh) Message() (kafka.Message, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return kafka.Message{}, fmt.Errorf("encode refresh of user %q: %w", r.User, err)
	}
	return kafka.Message{Key: []byte(r.User), Value: value}, nil
}

// DecodeRefresh decodes the value of a message from Message.
func DecodeRefresh(value []byte) (Refresh, error) {
	var r Refresh
	if err := json.Unmarshal(value, &r); err != nil {
		return Refresh{}, fmt.Errorf("decode refresh: %w", err)
	}
	if r.User == "" {
		return Refresh{}, errors.New("decode refresh: no user_id")
	}
	if len(r.ProducedAt) > MaxProducedAt {
		r.ProducedAt = r.ProducedAt[:MaxProducedAt]
	}
	return r, nil
}
