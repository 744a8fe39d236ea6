package settings

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// Invalid values are reported and left out; valid ones are used.
func TestInvalidValuesAreLeftOut(t *testing.T) {
	t.Setenv("PROGRAM_SEED", "x")
	t.Setenv("PROGRAM_RATE", "2")
	s := program(nil)
	s.app.Before = func(ctx context.Context, _ *cli.Command) (context.Context, error) { s.Read(); return ctx, nil }
	var seed, window, rate any
	s.app.Commands[0].Action = func(_ context.Context, cmd *cli.Command) error {
		seed, window, rate = cmd.Int64("seed"), cmd.Int("window"), cmd.Float("rate")
		return nil
	}
	path := write(t, "window: lots\nonly-here: x\n")
	if err := s.Run(t.Context(), []string{"program", "--config", path, "run"}); err != nil {
		t.Fatal(err)
	}
	if seed != int64(0) || window != 128 || rate != 2.0 || len(s.Problems()) != 3 {
		t.Errorf("seed %v, window %v, rate %v, %v", seed, window, rate, s.Problems())
	}
}

// An error of several settings names those that are set, and where.
func TestInvalidNamesWhereItIsSet(t *testing.T) {
	t.Setenv("PROGRAM_SEED", "7")
	path := write(t, "window: 9\n")
	for flags, want := range map[string]string{
		"seed":             "PROGRAM_SEED: too few",
		"window":           path + ":1: window: too few",
		"name":             "--name: too few",
		"seed window name": "PROGRAM_SEED, " + path + ":1: window, --name: too few",
		"rate":             "--rate: too few", // not set
	} {
		err := program(func(cmd *cli.Command, _ *Settings) {
			if got := Invalid(cmd, errors.New("too few"), strings.Fields(flags)...); got.Error() != want || !errors.Is(got, ErrInvalid) {
				t.Errorf("error %q, want %q", got, want)
			}
			if got := Invalid(cmd, nil, "seed"); got != nil {
				t.Errorf("without an error, got %v", got)
			}
		}).Run(t.Context(), []string{"program", "run", "--config", path, "--name", "ann"})
		if err != nil {
			t.Fatal(err)
		}
	}
}
