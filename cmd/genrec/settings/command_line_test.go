package settings

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// All problems of the command line are reported at once, before those of variables and the
// file.
func TestAllProblemsOfTheCommandLine(t *testing.T) {
	t.Setenv("PROGRAM_TTL", "soon")
	for _, c := range []struct {
		line string
		want []string
	}{
		{"run --nam x --window lots --seed=1.5 --quick=perhaps --rate fast --name too-long", []string{
			"--nam: unknown flag: did you mean --name?", `--window: "lots" is not an integer, or too large`,
			`--seed: "1.5" is not an integer, or too large`, `--quick: "perhaps" is neither true nor false`,
			`--rate: "fast" is not a number`, `--name: "too-long" is too long`,
		}},
		{"--log-lvel debug run --window lots", []string{"--log-lvel: unknown flag: did you mean --log-level?", `--window: "lots" is`}},
		{"run --only-there x --rate", []string{"--only-there: program run does not have this flag, other commands do", "--rate: a value is missing"}},
		{"run --window -x", []string{`--window: "-x" is no`}},
		{"run --windwo 1 -- --not-a-flag", []string{"--windwo: unknown flag"}},
		{"run -n x --version", []string{"-n: unknown flag", "--version: unknown flag"}},
		{"run -n x", []string{"-n: unknown flag"}},
	} {
		_, _, err := run(t, strings.Fields(c.line)...)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != len(c.want)+1 {
			t.Errorf("%q: error %v, want %q and that of the variable", c.line, err, c.want)
			continue
		}
		for i, want := range append(c.want, "PROGRAM_TTL: time: invalid duration") {
			if got := problems[i].Error(); !strings.HasPrefix(got, want) {
				t.Errorf("%q: problem %d is %q, want %q", c.line, i, got, want)
			}
		}
	}
}

// CommandLine finds a problem if and only if the library does.
func FuzzCommandLine(f *testing.F) {
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
			case "help", "h", "version", "v", "config": // which end the library's parsing, or name a file
				t.Skip()
			}
		}
		s := program(func(*cli.Command, *Settings) {})
		wrong := false
		for _, command := range append(s.app.Commands, s.app) {
			command.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error { wrong = true; return err }
		}
		err := s.Run(t.Context(), append([]string{"program"}, words...))
		if _, _, problems := s.CommandLine(); wrong != (len(problems) > 0) {
			t.Errorf("%q: the library returns %v, CommandLine %v", words, err, problems)
		}
	})
}
