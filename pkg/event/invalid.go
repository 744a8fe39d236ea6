package event

import (
	"fmt"
	"strconv"
)

// Reason is a short, stable code for what is wrong with an event. It labels
// metrics and dead letters.
type Reason string

// The reasons for which Decode refuses an event.
const (
	TooLarge     Reason = "too_large"
	NotJSON      Reason = "not_json"
	MissingField Reason = "missing_field"
	BadID        Reason = "bad_id"
	BadTimestamp Reason = "bad_timestamp"
	UnknownType  Reason = "unknown_type"
	BadContext   Reason = "bad_context"
)

// InvalidError says why an event was refused.
type InvalidError struct {
	Reason Reason
	Detail string // for people; short, whatever the event holds
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("invalid event: %s: %s", e.Reason, e.Detail)
}

func invalid(reason Reason, format string, args ...any) *InvalidError {
	return &InvalidError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

const maxQuoted = 64

// quote shows the beginning of text from outside, escaped for logs and headers.
func quote[T ~string | ~[]byte](text T) string {
	if len(text) > maxQuoted {
		return strconv.QuoteToASCII(string(text[:maxQuoted])) + "..."
	}
	return strconv.QuoteToASCII(string(text))
}
