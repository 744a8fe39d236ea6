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

// shownRefused is the number of refused rows in a Report.
const shownRefused = 5

// Report describes the rows that were refused.
type Report struct {
	ByReason map[string]int64 // number of rows by reason
	First    []Refused        // the first five, without their values
}

// Watch returns a Config.Refuse that passes rows to refuse and reports those that it accepted.
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

// Summary is the result of an import, with a Report of the refused rows.
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
			s.Rows, s.Known, s.Refused, s.Users, s.Seconds, rate)
	} else {
		fmt.Fprintf(w, "import rows=%d skipped=%d appended=%d known=%d refused=%d archived=%d refreshed=%d seconds=%.1f rows_per_s=%.0f\n",
			s.Rows, s.Skipped, s.Appended, s.Known, s.Refused, s.Archived, s.Users, s.Seconds, rate)
	}
	s.Report.Print(w)
}

// MarshalJSON implements json.Marshaler.
func (s *Summary) MarshalJSON() ([]byte, error) {
	first := make([]refusedJSON, len(s.First))
	for i, r := range s.First {
		first[i] = newRefusedJSON(r)
	}
	return json.Marshal(struct {
		DryRun   bool             `json:"dry_run"`
		Rows     int64            `json:"rows"`
		Skipped  int64            `json:"skipped"`
		Valid    int64            `json:"valid"`
		Appended int64            `json:"appended"`
		Known    int64            `json:"known"`
		Refused  int64            `json:"refused"`
		Archived int64            `json:"archived"`
		Users    int64            `json:"users"` // with a refresh; in a dry run, all
		ByReason map[string]int64 `json:"refused_by_reason"`
		First    []refusedJSON    `json:"first_refused"`
		Seconds  float64          `json:"seconds"`
		RowsPerS float64          `json:"rows_per_s"`
	}{
		s.DryRun, s.Rows, s.Skipped, s.Appended + s.Known, s.Appended, s.Known, s.Refused, s.Archived, s.Users,
		s.ByReason, first, s.Seconds, float64(s.Rows) / s.Seconds,
	})
}

// refusedJSON is a Refused row as JSON.
type refusedJSON struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	Row    string `json:"row,omitempty"`
}

func newRefusedJSON(r Refused) refusedJSON {
	return refusedJSON{r.File, r.Line, r.Reason, r.Detail, string(r.Value)}
}

// RejectsFile opens a file, for Config.Refuse, to which refused rows are appended as lines of
// JSON.
func RejectsFile(path string) (refuse func(context.Context, []Refused) error, closeFile func() error, err error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	lines := json.NewEncoder(file)
	return func(_ context.Context, rows []Refused) error {
		for _, r := range rows {
			if err := lines.Encode(newRefusedJSON(r)); err != nil {
				return fmt.Errorf("write a refused row: %w", err)
			}
		}
		return nil
	}, file.Close, nil
}

// Nowhere is Sessions that store nothing, for a dry run: no event changes a sequence.
type Nowhere struct{}

// Append stores nothing.
func (Nowhere) Append(context.Context, []sessions.UserEvents) ([]sessions.Appended, error) {
	return nil, nil
}
