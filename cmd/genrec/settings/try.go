package settings

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/urfave/cli/v3"
)

// try says whether a flag would take a text, and what separates values in it, if there may be
// several.
type try struct {
	flag      cli.Flag
	set       func(text string) error
	separator string
}

// separators are those of lists, in words.
var separators = map[string]string{",": "commas", "\n": "ends of lines"}

// attach lets a flag take what it is not given from its variable and the file.
func (s *Settings) attach(flag cli.Flag) {
	if slices.Contains(s.flags, flag) {
		return // two commands share it
	}
	switch f := flag.(type) {
	case *cli.StringFlag:
		attach(s, f, "")
	case *cli.StringSliceFlag:
		attach(s, f, ",")
	case *LinesFlag:
		attach(s, f, "\n")
	case *cli.BoolFlag:
		attach(s, f, "")
	case *cli.IntFlag:
		attach(s, f, "")
	case *cli.Int64Flag:
		attach(s, f, "")
	case *cli.FloatFlag:
		attach(s, f, "")
	case *cli.DurationFlag:
		attach(s, f, "")
	default:
		panic(fmt.Sprintf("settings knows no flags of the type %T", flag))
	}
	s.flags = append(s.flags, flag)
}

func attach[T, C any, V cli.ValueCreator[T, C]](s *Settings, f *cli.FlagBase[T, C, V], separator string) {
	f.Sources = cli.NewValueSourceChain(source{s, f.Name})
	s.tries[f.Name] = append(s.tries[f.Name], try{flag: f, separator: separator, set: func(text string) error {
		fresh := cli.FlagBase[T, C, V]{Name: f.Name, Value: f.Value, Config: f.Config, Validator: f.Validator}
		return inWords(text, fresh.Set(f.Name, text), f.Value)
	}})
}

// inWords is an error of the flag's parser for people.
func inWords(text string, err error, wanted any) error {
	number := (*strconv.NumError)(nil)
	isNumber := errors.As(err, &number)
	switch wanted.(type) {
	case bool:
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case int, int64:
		if isNumber {
			return fmt.Errorf("%q is no whole number, or too large", text)
		}
	case float64:
		if isNumber {
			return fmt.Errorf("%q is no number", text)
		}
	}
	return err
}

// refusals are those of the flags that have one name, each once.
func refusals(where, text string, tries []try) (problems Problems) {
	for _, t := range tries {
		if err := t.set(text); err != nil && !problems.has(err) {
			problems = append(problems, Problem{Where: where, Err: err})
		}
	}
	return problems
}
