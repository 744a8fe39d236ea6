package settings

import (
	"cmp"
	"fmt"
	"strings"
)

// Problem is what is wrong with one setting.
type Problem struct {
	Where string // a variable, or the file with the line and the key
	Err   error
	line  int
}

func (p Problem) compare(other Problem) int {
	return cmp.Or(cmp.Compare(p.line, other.line), cmp.Compare(p.Where, other.Where))
}

// Error implements error.
func (p Problem) Error() string { return p.Where + ": " + p.Err.Error() }

// Unwrap returns the cause.
func (p Problem) Unwrap() error { return p.Err }

// Problems are an error, if there are any.
type Problems []Problem

// Error implements error: a line each.
func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0].Error()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d settings are wrong", len(p))
	for _, problem := range p {
		text.WriteString("\n  " + problem.Error())
	}
	return text.String()
}

// Unwrap returns the causes.
func (p Problems) Unwrap() []error {
	causes := make([]error, len(p))
	for i, problem := range p {
		causes[i] = problem
	}
	return causes
}

func (p Problems) has(err error) bool {
	for _, problem := range p {
		if problem.Err.Error() == err.Error() {
			return true
		}
	}
	return false
}
