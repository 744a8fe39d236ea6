package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"genrec/ingest/importer"
)

// importDone is what became of an import.
type importDone struct {
	importer.Result
	DryRun  bool
	Seconds float64
	report  importer.Report
}

func (d *importDone) print(w io.Writer, asJSON bool) error {
	rate := float64(d.Rows) / d.Seconds
	if asJSON {
		first := make([]rejectLine, len(d.report.First))
		for i, r := range d.report.First {
			first[i] = rejectLineOf(r)
		}
		return json.NewEncoder(w).Encode(struct {
			DryRun   bool             `json:"dry_run"`
			Rows     int64            `json:"rows"`
			Skipped  int64            `json:"skipped"`
			Valid    int64            `json:"valid"`
			Appended int64            `json:"appended"`
			Known    int64            `json:"known"`
			Refused  int64            `json:"refused"`
			Archived int64            `json:"archived"`
			Users    int64            `json:"users"` // refreshed; in a dry run, all
			ByReason map[string]int64 `json:"refused_by_reason"`
			First    []rejectLine     `json:"first_refused"`
			Seconds  float64          `json:"seconds"`
			RowsPerS float64          `json:"rows_per_s"`
		}{
			d.DryRun, d.Rows, d.Skipped, d.Appended + d.Known, d.Appended, d.Known, d.Refused, d.Archived, d.Users,
			d.report.ByReason, first, d.Seconds, rate,
		})
	}
	if d.DryRun {
		fmt.Fprintf(w, "dry run rows=%d valid=%d refused=%d users=%d seconds=%.1f rows_per_s=%.0f\n",
			d.Rows, d.Known, d.Refused, d.Users, d.Seconds, rate)
	} else {
		fmt.Fprintf(w, "import rows=%d skipped=%d appended=%d known=%d refused=%d archived=%d refreshed=%d seconds=%.1f rows_per_s=%.0f\n",
			d.Rows, d.Skipped, d.Appended, d.Known, d.Refused, d.Archived, d.Users, d.Seconds, rate)
	}
	d.report.Print(w)
	return nil
}

// rejectLine is a row in the file of --rejects.
type rejectLine struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	Row    string `json:"row,omitempty"`
}

func rejectLineOf(r importer.Refused) rejectLine {
	return rejectLine{r.File, r.Line, r.Reason, r.Detail, string(r.Value)}
}

// rejectsFile keeps refused rows in a file.
func rejectsFile(path string) (refuse func(context.Context, []importer.Refused) error, closeFile func() error, err error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	lines := json.NewEncoder(file)
	return func(_ context.Context, rows []importer.Refused) error {
		for _, r := range rows {
			if err := lines.Encode(rejectLineOf(r)); err != nil {
				return fmt.Errorf("write a rejected row: %w", err)
			}
		}
		return nil
	}, file.Close, nil
}
