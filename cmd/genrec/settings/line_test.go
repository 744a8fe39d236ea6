package settings

import (
	"errors"
	"strings"
	"testing"
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
