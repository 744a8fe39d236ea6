package settings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v3"
)

// program has a flag of each type. Its command "run" calls action.
func program(action func(*cli.Command, *Settings)) *Settings {
	s := New("PROGRAM_")
	app := &cli.Command{
		Name: "program", Version: "7", Writer: io.Discard, ErrWriter: io.Discard,
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		Flags:          []cli.Flag{&cli.StringFlag{Name: "log-level", Value: "info"}},
		Commands: []*cli.Command{
			{
				Name: "run",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "name", Validator: short}, &cli.StringSliceFlag{Name: "hosts"}, &LinesFlag{Name: "id"}, &cli.BoolFlag{Name: "quick"},
					&cli.IntFlag{Name: "window", Value: 128}, &cli.Int64Flag{Name: "seed"}, &cli.FloatFlag{Name: "rate"}, &cli.DurationFlag{Name: "ttl"},
				},
				Action: func(_ context.Context, cmd *cli.Command) error { action(cmd, s); return nil },
			},
			{Name: "other", Flags: []cli.Flag{&cli.StringFlag{Name: "only-there"}, &cli.StringFlag{Name: "hosts"}}},
		},
	}
	s.Bind(app)
	app.Before = func(ctx context.Context, _ *cli.Command) (context.Context, error) { return ctx, Join(s.Read()) }
	app.OnUsageError = func(_ context.Context, _ *cli.Command, _ error, _ bool) error {
		_, _, problems := s.CommandLine()
		return Join(problems, Join(s.Read()))
	}
	app.Commands[0].OnUsageError = app.OnUsageError
	return s
}

func short(text string) error {
	if len(text) > 5 {
		return fmt.Errorf("%q is too long", text)
	}
	return nil
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs "program run" and returns the values and origins of its flags.
func run(t *testing.T, line ...string) (values map[string]any, origins map[string]string, err error) {
	t.Helper()
	values, origins = make(map[string]any), make(map[string]string)
	err = program(func(cmd *cli.Command, s *Settings) {
		for _, flag := range append(cmd.Flags, cmd.Root().Flags...) {
			name := flag.Names()[0]
			values[name], origins[name] = flag.Get(), s.Origin(flag)
		}
	}).Run(t.Context(), append([]string{"program"}, line...))
	return values, origins, err
}

func TestPrecedence(t *testing.T) {
	path := write(t, "name: file\nwindow: 1\nrate: 0.5\nhosts: file:1\nlog-level: warn\nonly-there: x\n")
	t.Setenv("PROGRAM_CONFIG", path)
	t.Setenv("PROGRAM_NAME", "var")
	t.Setenv("PROGRAM_WINDOW", "2")
	t.Setenv("PROGRAM_RATE", "") // as if it were not set
	values, origins, err := run(t, "run", "--window", "3")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		value  any
		origin string
	}{
		"window":    {3, "--window"},
		"name":      {"var", "PROGRAM_NAME"},
		"rate":      {0.5, path + ":3"},
		"hosts":     {[]string{"file:1"}, path + ":4"},
		"log-level": {"warn", path + ":5"},
		"seed":      {int64(0), "default"},
		"config":    {path, "PROGRAM_CONFIG"},
	} {
		if got := values[name]; !reflect.DeepEqual(got, want.value) || origins[name] != want.origin {
			t.Errorf("%s is %v by %s, want %v by %s", name, got, origins[name], want.value, want.origin)
		}
	}
}

// Variables that are made from files end with a line break.
func TestSpacesAroundVariables(t *testing.T) {
	path := write(t, "window: 9\n")
	t.Setenv("PROGRAM_CONFIG", " "+path+"\n")
	t.Setenv("PROGRAM_NAME", "\tvar \r\n")
	t.Setenv("PROGRAM_SEED", "7\n")
	t.Setenv("PROGRAM_RATE", " \n")
	values, origins, err := run(t, "run")
	if err != nil || values["name"] != "var" || values["seed"] != int64(7) || values["window"] != 9 || origins["rate"] != "default" {
		t.Errorf("the values are %v by %v (error %v), want them without the spaces", values, origins, err)
	}
}

// --config may be before or after the command.
func TestConfigFlag(t *testing.T) {
	t.Setenv("PROGRAM_CONFIG", "/no/such/file")
	path := write(t, "window: 9\n")
	for _, line := range [][]string{{"--config", path, "run"}, {"run", "--config", path}} {
		values, origins, err := run(t, line...)
		if err != nil || values["window"] != 9 || origins["config"] != "--config" {
			t.Errorf("%v: window is %v, config by %q, error %v", line, values["window"], origins["config"], err)
		}
	}
}

func TestEveryTypeOfValue(t *testing.T) {
	path := write(t, `
# a comment
name: &name "a: b"
hosts: one
quick: true
window: 0x10
seed: -7
rate: 1.5
ttl: 90s
only-there: *name
`)
	values, _, err := run(t, "run", "--config", path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"name": "a: b", "hosts": []string{"one"}, "quick": true, "window": 16, "seed": int64(-7), "rate": 1.5, "ttl": 90 * time.Second,
	} {
		if !reflect.DeepEqual(values[name], want) {
			t.Errorf("%s is %#v, want %#v", name, values[name], want)
		}
	}
	for _, empty := range []string{"", "# nothing\n"} {
		if _, _, err := run(t, "run", "--config", write(t, empty)); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// Each file in testdata is rejected for the reasons in its comments, in this order.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata (%v)", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(text)) {
				if _, reason, found := strings.Cut(line, "# want "); found {
					want = append(want, strings.TrimSpace(reason))
				}
			}
			_, _, err = run(t, "run", "--config", path)
			problems := Problems(nil)
			if !errors.As(err, &problems) {
				t.Fatalf("error %v, want %q", err, want)
			}
			var got []string
			for _, problem := range problems {
				got = append(got, strings.TrimPrefix(problem.Error(), path))
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("the problems are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// Problems of variables and the file are reported at once, of all commands.
func TestAllProblemsAtOnce(t *testing.T) {
	t.Setenv("PROGRAM_TTL", "soon")
	t.Setenv("PROGRAM_QUICK", "perhaps")
	path := write(t, "window: lots\nonly-here: x\n")
	_, _, err := run(t, "run", "--config", path)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"4 problems:", "PROGRAM_TTL: time: invalid duration", `PROGRAM_QUICK: "perhaps" is neither true nor false`,
		path + `:1: window: "lots" is not an integer, or too large`, path + ":2: only-here: unknown setting: did you mean only-there?",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	t.Setenv("PROGRAM_WINDWO", "7")
	t.Setenv("PROGRAM_WINDOW", "7")
	t.Setenv("PROGRAM_CONFIG", write(t, "seed: 1\n"))
	t.Setenv("OTHER_WINDWO", "7")
	var got map[string]string
	if err := program(func(_ *cli.Command, s *Settings) { got = s.UnknownVariables() }).Run(t.Context(), []string{"program", "run"}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"PROGRAM_WINDWO": "PROGRAM_WINDOW"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUnreadableFiles(t *testing.T) {
	for path, want := range map[string]string{
		"/no/such/file": "--config: open /no/such/file",
		t.TempDir():     "is a directory",
		write(t, strings.Repeat("# no settings\n", maxFileBytes/14+1)): "more than 1048576 bytes",
	} {
		if _, _, err := run(t, "run", "--config", path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"name: x\n", "hosts: [a, b]\n", "a: &a [*a]\n", "<<: {name: x}\n", "? [x]\n: y\n", "window: !!float 3\n", "- x", "%YAML 1.2\n---\n"} {
		f.Add([]byte(text))
	}
	app := &cli.Command{Flags: []cli.Flag{&cli.StringFlag{Name: "name"}, &cli.StringSliceFlag{Name: "hosts"}, &cli.IntFlag{Name: "window"}}}
	s := New("FUZZ_")
	s.Bind(app)
	f.Fuzz(func(t *testing.T, data []byte) {
		values := make(map[string]value)
		if problems := s.parse("f.yaml", data, values); len(problems) > 0 {
			_ = problems.Error()
			return
		}
		for name, v := range values {
			if s.bound[name] == nil || v.line < 1 {
				t.Errorf("%q is set by line %d, but there is no such flag", name, v.line)
			}
			for _, flag := range s.bound[name] {
				if err := flag.check(v.text); err != nil {
					t.Errorf("%s accepts %q at first, and then returns %v", name, v.text, err)
				}
			}
		}
	})
}
