// Package settings gives every flag of a program an environment variable and a key in one YAML
// file. The command line takes precedence over the variable, the variable over the file, and
// the file over the default.
//
// Bind connects the flags of a cli.Command; Run runs it; Read, before a command uses its flags,
// resolves them. Variables and file are checked against the flags of all commands, whichever
// command runs, so that a typo is found at once and not by the service that starts last. All
// problems are reported together, as Problems, each with the place where the value is set.
package settings

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// Settings are the settings of a program.
type Settings struct {
	prefix   string
	app      *cli.Command
	line     []string // the program's arguments
	file     *cli.StringFlag
	flags    []cli.Flag
	bound    map[string][]boundFlag // by name
	values   map[string]value       // of variables and the file
	problems Problems               // of variables and the file
	onLine   map[cli.Flag]bool      // set on the command line
}

// value is the text of a variable or of a key of the file.
type value struct {
	text string
	from string // the variable, or file and line
	line int    // of the file; 0 for a variable
}

// where says where the value of a setting is, for a Problem.
func (v value) where(name string) string {
	if v.line > 0 {
		return v.from + ": " + name
	}
	return v.from
}

// New returns the settings of a program whose environment variables begin with prefix.
func New(prefix string) *Settings {
	return &Settings{
		prefix: prefix, bound: make(map[string][]boundFlag), onLine: make(map[cli.Flag]bool),
		file: &cli.StringFlag{Name: "config", Usage: "YAML `FILE` with settings; its keys are flag names without dashes"},
	}
}

// Bind gives the flags of app and of its commands their variables and keys, and adds the flag
// --config, which names the file, to app. Call Read before a command uses its flags.
func (s *Settings) Bind(app *cli.Command) {
	s.app, app.Metadata = app, map[string]any{metadataKey: s}
	for _, flag := range allFlags(app) {
		s.bindFlag(flag)
	}
	s.file.Sources = cli.NewValueSourceChain(source{s, s.file.Name})
	s.flags = append(s.flags, s.file)
	app.Flags = append(app.Flags, s.file)
}

// Variable is the name of a flag's environment variable.
func (s *Settings) Variable(flag string) string {
	return s.prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Run runs the program.
func (s *Settings) Run(ctx context.Context, arguments []string) error {
	s.line = arguments[1:]
	return s.app.Run(ctx, arguments)
}

// Read sets the flags that the command line does not set from variables and the file. It
// returns the problems of both; invalid values are left out.
func (s *Settings) Read() Problems {
	values := make(map[string]value)
	s.readVariable(values, s.file.Name)
	named := values[s.file.Name]
	if path, _ := s.file.Get().(string); path != "" {
		named = value{text: path, from: "--" + s.file.Name}
	}
	problems := s.readFile(named, values)
	for name, flags := range s.bound {
		if s.readVariable(values, name) {
			rejected := rejections(values[name].from, values[name].text, flags)
			if problems = append(problems, rejected...); len(rejected) > 0 {
				delete(values, name)
			}
		}
	}
	slices.SortFunc(problems, Problem.compare)
	s.values = values
	for _, flag := range s.flags {
		s.onLine[flag] = flag.IsSet()
		if err := flag.PostParse(); err != nil { // sets the flag from its source
			problems = append(problems, Problem{Where: s.Origin(flag), Err: err})
		}
	}
	s.problems = problems
	return problems
}

// Problems returns the problems that Read found.
func (s *Settings) Problems() Problems { return s.problems }

// readVariable adds the value of a variable, unless it is empty. Spaces and line breaks around
// it are cut off: variables that are made from files have them.
func (s *Settings) readVariable(values map[string]value, name string) bool {
	variable := s.Variable(name)
	text := strings.TrimSpace(os.Getenv(variable))
	if text != "" {
		values[name] = value{text: text, from: variable}
	}
	return text != ""
}

// Origin says where the value of a flag is from: the flag, its variable, file and line, or
// "default".
func (s *Settings) Origin(flag cli.Flag) string {
	name := flag.Names()[0]
	if s.onLine[flag] {
		return "--" + name
	}
	return cmp.Or(s.values[name].from, "default")
}

// UnknownVariables returns the environment variables that have the prefix but belong to no
// flag, each with the most similar variable of a flag. They need not be mistakes: other
// programs may use them.
func (s *Settings) UnknownVariables() map[string]string {
	unknown := make(map[string]string)
	for _, entry := range os.Environ() {
		variable, _, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(variable, s.prefix)
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		if ours && s.bound[name] == nil && name != s.file.Name {
			unknown[variable] = s.Variable(s.nearest(name))
		}
	}
	return unknown
}

// Flags returns the flags of commands and their subcommands, each name once.
func Flags(commands ...*cli.Command) (flags []cli.Flag) {
	known := make(map[string]bool)
	for _, command := range commands {
		for _, flag := range allFlags(command) {
			if name := flag.Names()[0]; !known[name] {
				known[name] = true
				flags = append(flags, flag)
			}
		}
	}
	return flags
}

func allFlags(command *cli.Command) []cli.Flag {
	flags := slices.Clone(command.Flags)
	for _, sub := range command.Commands {
		flags = append(flags, allFlags(sub)...)
	}
	return flags
}

// source is where the library looks up the value of a variable or of the file, after Read.
type source struct {
	settings *Settings
	name     string
}

// Lookup implements cli.ValueSource.
func (f source) Lookup() (string, bool) {
	v, found := f.settings.values[f.name]
	return v.text, found
}

// IsFromEnv implements cli.EnvValueSource, so that help names the variable.
func (f source) IsFromEnv() bool { return true }

// Key implements cli.EnvValueSource.
func (f source) Key() string { return f.settings.Variable(f.name) }

func (f source) String() string   { return fmt.Sprintf("%s or %s in the file", f.Key(), f.name) }
func (f source) GoString() string { return f.String() }
