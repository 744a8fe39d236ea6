// Package doctor checks whether everything that genrec needs works: libtorch and the GPU of
// this machine, Kafka with its topics and permissions, Redis, the model versions, and the
// history folder.
//
// A Check returns findings, and every finding that is not OK carries a hint that says what to
// do. Checks use Kafka and Redis as the services do, so a finding that is OK means that the
// services work there: in Redis they write keys of users that cannot exist, and delete them.
// They change nothing else. What a check has no permission to inspect is reported as
// unchecked, not as a failure.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Finding is the result of inspecting one thing.
type Finding struct {
	// Subject is what was inspected, such as "Kafka" or "topics".
	Subject string `json:"subject"`
	// OK is false if something has to be fixed.
	OK bool `json:"ok"`
	// Unchecked is set, beside OK, where a permission to inspect is missing.
	Unchecked bool `json:"unchecked,omitempty"`
	// Text says what was found.
	Text string `json:"text"`
	// Hint says what to do; never empty if the finding is not OK.
	Hint string `json:"remedy,omitempty"`
}

// Check inspects one part of the system.
type Check func(context.Context) []Finding

// checkTimeout limits each check.
const checkTimeout = 15 * time.Second

// settingHint is the hint for errors that name the setting to change.
const settingHint = "change the setting: genrec config prints all settings and their origins"

// Run runs the checks one after the other, each for at most 15 s.
func Run(ctx context.Context, checks ...Check) (all []Finding) {
	for _, check := range checks {
		limited, cancel := context.WithTimeout(ctx, checkTimeout)
		all = append(all, check(limited)...)
		cancel()
	}
	return all
}

// Failures counts the findings that are not OK.
func Failures(all []Finding) (n int) {
	for _, f := range all {
		if !f.OK {
			n++
		}
	}
	return n
}

// Print writes the findings as a table, with the hints below what they belong to.
func Print(w io.Writer, all []Finding) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range all {
		state := "ok"
		switch {
		case !f.OK:
			state = "WRONG"
		case f.Unchecked:
			state = "unchecked"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", state, f.Subject, f.Text)
		if f.Hint != "" {
			fmt.Fprintf(table, "\t\t→ %s\n", f.Hint)
		}
	}
	return table.Flush()
}

// Skip is the check of something that no flag names. It is OK, with the reason.
func Skip(subject, reason string) Check {
	return func(context.Context) []Finding { return []Finding{ok(subject, "skipped: %s", reason)} }
}

// Invalid is the check of something whose settings cannot be used because of err. Without a
// hint, the hint is to change the setting.
func Invalid(subject string, err error, hint string) Check {
	return func(context.Context) []Finding { return []Finding{failed(subject, err, cmp.Or(hint, settingHint))} }
}

// Settings reports each of the problems of environment variables and the configuration file.
func Settings[E error](problems []E) Check {
	const subject = "settings"
	return func(context.Context) (all []Finding) {
		for _, problem := range problems {
			all = append(all, failed(subject, problem, "change it, and check again: genrec config check"))
		}
		if len(all) == 0 {
			all = append(all, ok(subject, "environment variables and configuration file are valid"))
		}
		return all
	}
}

func ok(subject, format string, args ...any) Finding {
	return Finding{Subject: subject, OK: true, Text: fmt.Sprintf(format, args...)}
}

func unchecked(subject, text, hint string) Finding {
	return Finding{Subject: subject, OK: true, Unchecked: true, Text: text, Hint: hint}
}

func failed(subject string, err error, hint string) Finding {
	return Finding{Subject: subject, Text: err.Error(), Hint: hint}
}
