package settings

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"
)

// boundFlag is a flag that takes values from its environment variable and from the file.
type boundFlag struct {
	flag      cli.Flag
	check     func(text string) error // whether the flag accepts a value; it does not set the flag
	separator string                  // between the values of a list; empty for a single value
}

// separatorNames are the separators in error messages.
var separatorNames = map[string]string{",": "commas", "\n": "line breaks"}

// bindFlag makes a flag take what the command line does not set from its variable and the file.
func (s *Settings) bindFlag(flag cli.Flag) {
	if slices.Contains(s.flags, flag) {
		return // two commands share it
	}
	switch f := flag.(type) {
	case *cli.StringFlag:
		bind(s, f, "")
	case *cli.StringSliceFlag:
		bind(s, f, ",")
	case *LinesFlag:
		bind(s, f, "\n")
	case *cli.BoolFlag:
		bind(s, f, "")
	case *cli.IntFlag:
		bind(s, f, "")
	case *cli.Int64Flag:
		bind(s, f, "")
	case *cli.FloatFlag:
		bind(s, f, "")
	case *cli.DurationFlag:
		bind(s, f, "")
	default:
		panic(fmt.Sprintf("settings: flags of type %T are not supported", flag))
	}
	s.flags = append(s.flags, flag)
}

func bind[T, C any, V cli.ValueCreator[T, C]](s *Settings, f *cli.FlagBase[T, C, V], separator string) {
	f.Sources = cli.NewValueSourceChain(source{s, f.Name})
	s.bound[f.Name] = append(s.bound[f.Name], boundFlag{flag: f, separator: separator, check: func(text string) error {
		fresh := cli.FlagBase[T, C, V]{Name: f.Name, Value: f.Value, Config: f.Config, Validator: f.Validator}
		return readable(text, fresh.Set(f.Name, text), f.Value)
	}})
}

// readable words an error of the flag's parser for people.
func readable(text string, err error, wanted any) error {
	number := (*strconv.NumError)(nil)
	isNumber := errors.As(err, &number)
	switch wanted.(type) {
	case bool:
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case int, int64:
		if isNumber {
			return fmt.Errorf("%q is not an integer, or too large", text)
		}
	case float64:
		if isNumber {
			return fmt.Errorf("%q is not a number", text)
		}
	}
	return err
}

// rejections are the errors of all flags of one name, each once.
func rejections(where, text string, flags []boundFlag) (problems Problems) {
	for _, f := range flags {
		if err := f.check(text); err != nil && !problems.contains(err) {
			problems = append(problems, Problem{Where: where, Err: err})
		}
	}
	return problems
}

// LinesFlag takes values that may contain commas, such as user ids: one each time the flag is
// given, one per line of its variable, and a list in the file.
type LinesFlag = cli.FlagBase[[]string, cli.NoConfig, lines]

// lines is the value of a LinesFlag.
type lines struct {
	values *[]string
	set    bool // values are no longer the default
}

// Create implements cli.ValueCreator.
func (lines) Create(value []string, to *[]string, _ cli.NoConfig) cli.Value {
	*to = value
	return &lines{values: to}
}

// ToString implements cli.ValueCreator.
func (lines) ToString(values []string) string { return strings.Join(values, "\n") }

// Set implements cli.Value: it adds to the values that were set before.
func (l *lines) Set(text string) error {
	if !l.set {
		*l.values, l.set = nil, true
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			*l.values = append(*l.values, line)
		}
	}
	return nil
}

// Get implements cli.Value.
func (l *lines) Get() any { return *l.values }

func (l *lines) String() string { return l.ToString(*l.values) }
