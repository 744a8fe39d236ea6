package importer

import (
	"encoding/json"
	"errors"
)

// review is one of Amazon's: of 2014 and 2018, or of 2023.
type review struct {
	Reviewer string      `json:"reviewerID"`
	ASIN     string      `json:"asin"`
	Seconds  json.Number `json:"unixReviewTime"`
	Overall  json.Number `json:"overall"`

	User   string      `json:"user_id"`
	Parent string      `json:"parent_asin"` // of an item's colors and sizes
	Millis json.Number `json:"timestamp"`
	Rating json.Number `json:"rating"`
}

func (r review) interaction() interaction {
	if r.Reviewer != "" {
		return interaction{user: r.Reviewer, item: r.ASIN, rating: r.Overall.String(), time: r.Seconds.String()}
	}
	return interaction{user: r.User, item: r.Parent, rating: r.Rating.String(), time: r.Millis.String()}
}

// isReview tells a review from an event by its fields.
func isReview(line []byte) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil || fields["event_id"] != nil {
		return false
	}
	return fields["reviewerID"] != nil || fields["parent_asin"] != nil
}

// reviews is Amazon's reviews, one a line.
type reviews struct {
	lines   *lines
	reading reading
}

func (r reviews) next() (row, error) {
	next, err := r.lines.next()
	if err != nil || next.err != nil {
		return next, err
	}
	var one review
	var syntax *json.SyntaxError
	switch err := json.Unmarshal(next.value, &one); {
	case errors.As(err, &syntax): // no event either, which says so
	case err != nil:
		next.err = err
	default:
		said := one.interaction()
		next.value, next.time = said.event(r.reading), said.time
	}
	return next, nil
}
