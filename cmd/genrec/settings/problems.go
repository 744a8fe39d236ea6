package settings

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"
)

// Problem is what is wrong with one setting.
type Problem struct {
	Where string // a flag, a variable, or the file with the line and the key; may be empty
	Err   error
	line  int
}

func (p Problem) compare(other Problem) int {
	return cmp.Or(cmp.Compare(p.line, other.line), cmp.Compare(p.Where, other.Where))
}

// Error implements error.
func (p Problem) Error() string {
	if p.Where == "" {
		return p.Err.Error()
	}
	return p.Where + ": " + p.Err.Error()
}

// Unwrap returns the cause.
func (p Problem) Unwrap() error { return p.Err }

// Problems are an error, if there are any.
type Problems []Problem

// ErrMistake is what all Problems are.
var ErrMistake = errors.New("the settings are wrong")

// Is says so.
func (p Problems) Is(target error) bool { return target == ErrMistake }

// Error implements error: a line each.
func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0].Error()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d mistakes:", len(p))
	for _, problem := range p {
		text.WriteString("\n  " + strings.ReplaceAll(problem.Error(), "\n", "\n    "))
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

// Join are all the problems of errors, those that are none included; nil without any.
func Join(errs ...error) error {
	var all Problems
	for _, err := range errs {
		var several Problems
		switch {
		case err == nil:
		case errors.As(err, &several):
			all = append(all, several...)
		default:
			all = append(all, Problem{Err: err})
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// metadata is where an application keeps its Settings.
const metadata = "settings"

// Wrong says of err, unless it is nil, that flags of cmd are to blame: it names those that
// somebody set, and where.
func Wrong(cmd *cli.Command, err error, flags ...string) error {
	if err == nil {
		return nil
	}
	given, _ := cmd.Root().Metadata[metadata].(*Settings)
	var places, names []string
	for _, name := range flags {
		names = append(names, "--"+name)
		if place := given.place(cmd, name); place != "" {
			places = append(places, place)
		}
	}
	if len(places) == 0 {
		places = names
	}
	return Problems{{Where: strings.Join(places, ", "), Err: err}}
}

// place is where a flag is set, if anywhere.
func (s *Settings) place(cmd *cli.Command, name string) string {
	if flag := find(inScope(cmd), name); flag != nil && s.given[flag] {
		return "--" + name
	}
	return s.values[name].place(name)
}
