package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"genrec/pkg/backoff"
)

// outcome is what came of a step.
type outcome struct {
	exit   int
	output string
}

// try runs the trial of a case and prints what was expected and what came of it. Its error is
// one that says nothing of the case.
func (w *world) try(ctx context.Context, name string) (right bool, err error) {
	t, known := cases[name]
	file := filepath.Join(w.settings.folder, name)
	_, missing := os.Stat(file)
	switch {
	case !known:
		fmt.Printf("WRONG %s\n  expected: a row of the table in test/cases/cases.go\n  got:      none\n", name)
		return false, nil
	case missing != nil:
		fmt.Printf("WRONG %s\n  expected: the file\n  got:      %v\n", name, missing)
		return false, nil
	}
	began, title := time.Now(), "right"
	s, err := w.open(ctx, file, t)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return false, err
	}
	var report strings.Builder
	for _, step := range t.steps {
		got, wrong, err := s.take(ctx, step)
		if err != nil {
			return false, err
		}
		report.WriteString(step.report(s.fill(step.run), got, wrong))
		if wrong != "" {
			title = "WRONG"
			break // what follows builds on it
		}
	}
	fmt.Printf("%s %s (%.1f s)\n%s", title, name, time.Since(began).Seconds(), report.String())
	return title == "right", nil
}

// take runs a step until all is as expected, or its time is up.
func (s *scene) take(ctx context.Context, st step) (got outcome, wrong string, err error) {
	for deadline := time.Now().Add(st.until); ; {
		if got, err = s.run(ctx, s.fill(st.run)); err != nil {
			return got, "", err
		}
		wrong = st.check(got)
		if wrong == "" || time.Now().After(deadline) {
			return got, wrong, nil
		}
		if err := backoff.Sleep(ctx, 500*time.Millisecond); err != nil {
			return got, "", err
		}
	}
}

// check says what of the outcome is not as expected.
func (st step) check(got outcome) string {
	var wrong []string
	if got.exit != st.exit {
		wrong = append(wrong, fmt.Sprintf("the exit code is %d", got.exit))
	}
	for _, pattern := range st.says {
		if !regexp.MustCompile(pattern).MatchString(got.output) {
			wrong = append(wrong, fmt.Sprintf("nothing matches %q", pattern))
		}
	}
	for _, pattern := range st.never {
		if found := regexp.MustCompile(pattern).FindString(got.output); found != "" {
			wrong = append(wrong, fmt.Sprintf("%q matches %q", found, pattern))
		}
	}
	return strings.Join(wrong, ", ")
}

// report is for people. Of what is right, the lines that were looked for suffice.
func (st step) report(command string, got outcome, wrong string) string {
	expected := []string{fmt.Sprintf("exit code %d", st.exit)}
	for _, pattern := range st.says {
		expected = append(expected, fmt.Sprintf("%q", pattern))
	}
	for _, pattern := range st.never {
		expected = append(expected, fmt.Sprintf("not %q", pattern))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s\n    expected: %s\n    got:      exit code %d\n", command, strings.Join(expected, ", "), got.exit)
	const most = 12
	lines := strings.Split(strings.TrimSpace(got.output), "\n")
	if wrong == "" {
		lines = st.matching(lines)
	}
	for i, line := range lines[max(0, len(lines)-most):] {
		if i > 0 || line != "" {
			fmt.Fprintf(&b, "              %.300s\n", line)
		}
	}
	if wrong != "" {
		fmt.Fprintf(&b, "    wrong:    %s\n", wrong)
	}
	return b.String()
}

func (st step) matching(lines []string) (found []string) {
	for _, line := range lines {
		for _, pattern := range st.says {
			if regexp.MustCompile(pattern).MatchString(line) {
				found = append(found, line)
				break
			}
		}
	}
	return found
}
