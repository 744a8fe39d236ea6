package importer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"genrec/sessions"
)

// shownRows is the number of rejected rows in a Report.
const shownRows = 5

// Report describes the rejected rows.
type Report struct {
	ByReason map[string]int64 // number of rows by reason
	First    []RejectedRow    // the first five, without their values
}

// Watch returns a Config.Reject that passes rows to reject and reports those that it accepted.
func (r *Report) Watch(reject func(context.Context, []RejectedRow) error) func(context.Context, []RejectedRow) error {
	r.ByReason = make(map[string]int64)
	return func(ctx context.Context, rows []RejectedRow) error {
		if err := reject(ctx, rows); err != nil {
			return err
		}
		for _, row := range rows {
			r.ByReason[row.Reason]++
			if len(r.First) < shownRows {
				row.Value = nil // it can be long and is not shown
				r.First = append(r.First, row)
			}
		}
		return nil
	}
}

// Print writes the report for people; nothing if no row was rejected.
func (r *Report) Print(w io.Writer) {
	for _, reason := range slices.Sorted(maps.Keys(r.ByReason)) {
		fmt.Fprintf(w, "refused reason=%s rows=%d\n", reason, r.ByReason[reason])
	}
	for _, row := range r.First {
		fmt.Fprintf(w, "  %s:%d: %s: %s\n", filepath.Base(row.File), row.Line, row.Reason, row.Detail)
	}
}

// Summary is the result of an import, with a Report of the rejected rows.
type Summary struct {
	Result
	Report
	DryRun  bool    // nothing was written
	Seconds float64 // how long the import took
}

// Print writes the summary for people.
func (s *Summary) Print(w io.Writer) {
	rate := float64(s.Rows) / s.Seconds
	if s.DryRun {
		fmt.Fprintf(w, "dry run rows=%d valid=%d refused=%d users=%d seconds=%.1f rows_per_s=%.0f\n",
			s.Rows, s.Duplicates, s.Rejected, s.Users, s.Seconds, rate)
	} else {
		fmt.Fprintf(w, "import rows=%d skipped=%d appended=%d known=%d refused=%d archived=%d refreshed=%d seconds=%.1f rows_per_s=%.0f\n",
			s.Rows, s.Skipped, s.Appended, s.Duplicates, s.Rejected, s.HistoryEvents, s.Users, s.Seconds, rate)
	}
	s.Report.Print(w)
}

// MarshalJSON implements json.Marshaler.
func (s *Summary) MarshalJSON() ([]byte, error) {
	first := make([]rejectedJSON, len(s.First))
	for i, r := range s.First {
		first[i] = newRejectedJSON(r)
	}
	return json.Marshal(struct {
		DryRun        bool             `json:"dry_run"`
		Rows          int64            `json:"rows"`
		Skipped       int64            `json:"skipped"`
		Valid         int64            `json:"valid"`
		Appended      int64            `json:"appended"`
		Duplicates    int64            `json:"known"`
		Rejected      int64            `json:"refused"`
		HistoryEvents int64            `json:"archived"`
		Users         int64            `json:"users"` // with a refresh; in a dry run, all
		ByReason      map[string]int64 `json:"refused_by_reason"`
		First         []rejectedJSON   `json:"first_refused"`
		Seconds       float64          `json:"seconds"`
		RowsPerS      float64          `json:"rows_per_s"`
	}{
		s.DryRun, s.Rows, s.Skipped, s.Appended + s.Duplicates, s.Appended, s.Duplicates, s.Rejected, s.HistoryEvents, s.Users,
		s.ByReason, first, s.Seconds, float64(s.Rows) / s.Seconds,
	})
}

// rejectedJSON is a RejectedRow as JSON.
type rejectedJSON struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	Row    string `json:"row,omitempty"`
}

func newRejectedJSON(r RejectedRow) rejectedJSON {
	return rejectedJSON{r.File, r.Line, r.Reason, r.Detail, string(r.Value)}
}

// RejectsFile opens a file, for Config.Reject, to which rejected rows are appended as lines of
// JSON.
func RejectsFile(path string) (reject func(context.Context, []RejectedRow) error, closeFile func() error, err error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	lines := json.NewEncoder(file)
	return func(_ context.Context, rows []RejectedRow) error {
		for _, r := range rows {
			if err := lines.Encode(newRejectedJSON(r)); err != nil {
				return fmt.Errorf("write a rejected row: %w", err)
			}
		}
		return nil
	}, file.Close, nil
}

// DiscardSessions is a Sessions that stores nothing, for a dry run: no event changes a sequence.
type DiscardSessions struct{}

// Append stores nothing.
func (DiscardSessions) Append(context.Context, []sessions.UserEvents) ([]sessions.Appended, error) {
	return nil, nil
}
