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

// result is the exit code and the output of a command.
type result struct {
	exit   int
	output string
}

// runCase runs a case and prints the expected and the actual results. It returns an error if the case could
// not be run.
func (env *environment) runCase(ctx context.Context, name string) (right bool, err error) {
	t, known := cases[name]
	file := filepath.Join(env.settings.folder, name)
	_, missing := os.Stat(file)
	switch {
	case !known:
		fmt.Printf("WRONG %s\n  expected: an entry in test/cases/cases.go\n  got:      none\n", name)
		return false, nil
	case missing != nil:
		fmt.Printf("WRONG %s\n  expected: the file\n  got:      %v\n", name, missing)
		return false, nil
	}
	began, title := time.Now(), "right"
	s, err := env.open(ctx, file, t)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return false, err
	}
	var report strings.Builder
	for _, step := range t.steps {
		got, wrong, err := s.runStep(ctx, step)
		if err != nil {
			return false, err
		}
		report.WriteString(step.report(s.expand(step.run), got, wrong))
		if wrong != "" {
			title = "WRONG"
			break // the following steps depend on it
		}
	}
	fmt.Printf("%s %s (%.1f s)\n%s", title, name, time.Since(began).Seconds(), report.String())
	return title == "right", nil
}

// runStep repeats a step until the result is as expected or its time is up.
func (s *caseRun) runStep(ctx context.Context, st step) (got result, wrong string, err error) {
	for deadline := time.Now().Add(st.until); ; {
		if got, err = s.run(ctx, s.expand(st.run)); err != nil {
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

// check describes the differences between the expected and the actual result.
func (st step) check(got result) string {
	var wrong []string
	if got.exit != st.exit {
		wrong = append(wrong, fmt.Sprintf("the exit code is %d", got.exit))
	}
	for _, pattern := range st.matches {
		if !regexp.MustCompile(pattern).MatchString(got.output) {
			wrong = append(wrong, fmt.Sprintf("nothing matches %q", pattern))
		}
	}
	for _, pattern := range st.excludes {
		if found := regexp.MustCompile(pattern).FindString(got.output); found != "" {
			wrong = append(wrong, fmt.Sprintf("%q matches %q", found, pattern))
		}
	}
	return strings.Join(wrong, ", ")
}

// report describes a step. If it passed, only the output lines that match are shown.
func (st step) report(command string, got result, wrong string) string {
	expected := []string{fmt.Sprintf("exit code %d", st.exit)}
	for _, pattern := range st.matches {
		expected = append(expected, fmt.Sprintf("%q", pattern))
	}
	for _, pattern := range st.excludes {
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
		for _, pattern := range st.matches {
			if regexp.MustCompile(pattern).MatchString(line) {
				found = append(found, line)
				break
			}
		}
	}
	return found
}
