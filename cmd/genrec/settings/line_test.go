package settings

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// All mistakes of the command line are told at once, in front of those of variables and the
// file.
func TestAllMistakesOfTheCommandLine(t *testing.T) {
	t.Setenv("PROGRAM_TTL", "soon")
	for _, c := range []struct {
		line string
		want []string
	}{
		{"run --nam x --window lots --seed=1.5 --quick=perhaps --rate fast --name too-long", []string{
			"--nam: there is no such flag: did you mean --name?", `--window: "lots" is no whole number, or too large`,
			`--seed: "1.5" is no whole number, or too large`, `--quick: "perhaps" is neither true nor false`,
			`--rate: "fast" is no number`, `--name: "too-long" is too long`,
		}},
		{"--log-lvel debug run --window lots", []string{"--log-lvel: there is no such flag: did you mean --log-level?", `--window: "lots" is`}},
		{"run --only-there x --rate", []string{"--only-there: it is a flag of other commands, not of program run", "--rate: it needs a value"}},
		{"run --window -x", []string{`--window: "-x" is no`}},
		{"run --windwo 1 -- --not-a-flag", []string{"--windwo: there is no such flag"}},
		{"run -n x --version", []string{"-n: there is no such flag", "--version: there is no such flag"}},
		{"run -n x", []string{"-n: there is no such flag"}},
	} {
		_, _, err := run(t, strings.Fields(c.line)...)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != len(c.want)+1 {
			t.Errorf("%q ends in %v, want %q and that of the variable", c.line, err, c.want)
			continue
		}
		for i, want := range append(c.want, "PROGRAM_TTL: time: invalid duration") {
			if got := problems[i].Error(); !strings.HasPrefix(got, want) {
				t.Errorf("%q: mistake %d is %q, want %q", c.line, i, got, want)
			}
		}
	}
}

// Line finds a mistake where the library does, and none where it does not.
func FuzzLine(f *testing.F) {
	for _, line := range []string{
		"run\n--window\n9", "run\n--window=", "--config=\nrun", "run\n--quick\nfalse\n-x", "run\n-5\n--nam", "run\n--\n--nam", "run\n--name\n-\n-",
		"other\n--hosts\n--hosts", "x\nrun\n--rate\n1", "run\n--quick=perhaps", " --seed\n 1 ", "run\nother\n--window\n1", "run\n--=", "run\n-=\n---x", "run\n--id\n",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, "\n")
		for _, word := range words {
			switch name, _, _ := strings.Cut(strings.TrimLeft(strings.TrimSpace(word), "-"), "="); name {
			case "help", "h", "version", "v", "config": // which end the library's reading, or are a file
				t.Skip()
			}
		}
		s := program(func(*cli.Command, *Settings) {})
		wrong := false
		for _, command := range append(s.app.Commands, s.app) {
			command.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error { wrong = true; return err }
		}
		err := s.Run(t.Context(), append([]string{"program"}, words...))
		if _, _, problems := s.Line(); wrong != (len(problems) > 0) {
			t.Errorf("of %q the library says %v, Line says %v", words, err, problems)
		}
	})
}
