package importer

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"genrec/sessions"
)

// shownRefused is how many refused rows a Report shows.
const shownRefused = 5

// Report tells of the rows that were refused.
type Report struct {
	ByReason map[string]int64
	First    []Refused
}

// Watch reports on what refuse is given and keeps.
func (r *Report) Watch(refuse func(context.Context, []Refused) error) func(context.Context, []Refused) error {
	r.ByReason = make(map[string]int64)
	return func(ctx context.Context, rows []Refused) error {
		if err := refuse(ctx, rows); err != nil {
			return err
		}
		for _, row := range rows {
			r.ByReason[row.Reason]++
			if len(r.First) < shownRefused {
				row.Value = nil // a row may be long, and is not shown
				r.First = append(r.First, row)
			}
		}
		return nil
	}
}

// Print writes the report for people; nothing if no row was refused.
func (r *Report) Print(w io.Writer) {
	for _, reason := range slices.Sorted(maps.Keys(r.ByReason)) {
		fmt.Fprintf(w, "refused reason=%s rows=%d\n", reason, r.ByReason[reason])
	}
	for _, row := range r.First {
		fmt.Fprintf(w, "  %s:%d: %s: %s\n", filepath.Base(row.File), row.Line, row.Reason, row.Detail)
	}
}

// Nowhere is Sessions that keep nothing, for a dry run: no event changes a sequence.
type Nowhere struct{}

// Append keeps nothing.
func (Nowhere) Append(context.Context, []sessions.UserEvents) ([]sessions.Appended, error) {
	return nil, nil
}
