package settings

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"
)

// Problem is an invalid or missing setting.
type Problem struct {
	Where string // a flag, an environment variable, or file, line and key; may be empty
	Err   error  // what is wrong

	line int // of the file; 0 elsewhere
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

// Problems is an error that reports all of them. It is ErrInvalid.
type Problems []Problem

// ErrInvalid says that settings are invalid or missing.
var ErrInvalid = errors.New("invalid settings")

// Is implements the interface of errors.Is.
func (p Problems) Is(target error) bool { return target == ErrInvalid }

// Error implements error, with a line for each problem.
func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0].Error()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d problems:", len(p))
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

func (p Problems) contains(err error) bool {
	for _, problem := range p {
		if problem.Err.Error() == err.Error() {
			return true
		}
	}
	return false
}

// Join returns the Problems of all errors, or nil without any. Each other error becomes a
// Problem.
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

// metadataKey is where the root command keeps its Settings.
const metadataKey = "settings"

// Invalid attributes err, unless it is nil, to flags of cmd: the Problem names those that are
// set and where, or all of them if none is.
func Invalid(cmd *cli.Command, err error, flags ...string) error {
	if err == nil {
		return nil
	}
	s, _ := cmd.Root().Metadata[metadataKey].(*Settings)
	var origins, names []string
	for _, name := range flags {
		names = append(names, "--"+name)
		if origin := s.setAt(cmd, name); origin != "" {
			origins = append(origins, origin)
		}
	}
	if len(origins) == 0 {
		origins = names
	}
	return Problems{{Where: strings.Join(origins, ", "), Err: err}}
}

// setAt says where a flag is set; empty if it is not.
func (s *Settings) setAt(cmd *cli.Command, name string) string {
	if flag := find(flagsOf(cmd), name); flag != nil && s.onLine[flag] {
		return "--" + name
	}
	return s.values[name].where(name)
}
