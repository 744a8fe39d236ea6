// Package settings gives every flag of a program a variable and a key in one YAML file. The
// command line goes before the variable, the variable before the file, the file before the
// default. Variables and file are held against all flags of all commands, whichever command
// runs: a mistake is told at once, and not by the service that starts last. All mistakes are
// told together.
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

// Settings are those of a program.
type Settings struct {
	prefix   string
	app      *cli.Command
	line     []string // that the program was called with
	file     *cli.StringFlag
	flags    []cli.Flag
	tries    map[string][]try
	values   map[string]value // of variables and the file
	problems Problems         // of them
	given    map[cli.Flag]bool
}

// value is what a variable or a line of the file says.
type value struct {
	text string
	from string
	line int // of the file
}

// place is what a problem with it names.
func (v value) place(name string) string {
	if v.line > 0 {
		return v.from + ": " + name
	}
	return v.from
}

// New returns those of a program whose variables begin with prefix.
func New(prefix string) *Settings {
	return &Settings{
		prefix: prefix, tries: make(map[string][]try), given: make(map[cli.Flag]bool),
		file: &cli.StringFlag{Name: "config", Usage: "YAML `FILE` of settings: keys are the names of flags"},
	}
}

// Bind gives the flags of app and of its commands their variables and keys, and app the flag
// --config, which names the file. Read has to be called before a flag is used.
func (s *Settings) Bind(app *cli.Command) {
	s.app, app.Metadata = app, map[string]any{metadata: s}
	for _, flag := range allFlags(app) {
		s.attach(flag)
	}
	s.file.Sources = cli.NewValueSourceChain(source{s, s.file.Name})
	s.flags = append(s.flags, s.file)
	app.Flags = append(app.Flags, s.file)
}

// Variable is the name of a flag's.
func (s *Settings) Variable(flag string) string {
	return s.prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Run runs the program.
func (s *Settings) Run(ctx context.Context, arguments []string) error {
	s.line = arguments[1:]
	return s.app.Run(ctx, arguments)
}

// Read takes what the command line leaves open from variables and the file, and returns all
// that is wrong with them. What is wrong is left out.
func (s *Settings) Read() Problems {
	values := make(map[string]value)
	s.lookUp(values, s.file.Name)
	named := values[s.file.Name]
	if path, _ := s.file.Get().(string); path != "" {
		named = value{text: path, from: "--" + s.file.Name}
	}
	problems := s.readFile(named, values)
	for name, tries := range s.tries {
		if s.lookUp(values, name) {
			refused := refusals(values[name].from, values[name].text, tries)
			if problems = append(problems, refused...); len(refused) > 0 {
				delete(values, name)
			}
		}
	}
	slices.SortFunc(problems, Problem.compare)
	s.values = values
	for _, flag := range s.flags {
		s.given[flag] = flag.IsSet()
		if err := flag.PostParse(); err != nil { // which takes it from its source
			problems = append(problems, Problem{Where: s.Origin(flag), Err: err})
		}
	}
	s.problems = problems
	return problems
}

// Problems are what Read found wrong.
func (s *Settings) Problems() Problems { return s.problems }

// lookUp takes a variable, if it is not empty, without the blanks and ends of lines around it
// that variables made from files have.
func (s *Settings) lookUp(values map[string]value, name string) bool {
	variable := s.Variable(name)
	text := strings.TrimSpace(os.Getenv(variable))
	if text != "" {
		values[name] = value{text: text, from: variable}
	}
	return text != ""
}

// Origin says where a flag's value came from: its name, its variable, the file and line, or
// "default".
func (s *Settings) Origin(flag cli.Flag) string {
	name := flag.Names()[0]
	if s.given[flag] {
		return "--" + name
	}
	return cmp.Or(s.values[name].from, "default")
}

// Strangers are the variables of the environment with the prefix that no flag has, with the
// nearest that one has. They may be meant for others, so that they are no mistake for sure.
func (s *Settings) Strangers() map[string]string {
	strangers := make(map[string]string)
	for _, entry := range os.Environ() {
		variable, _, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(variable, s.prefix)
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		if ours && s.tries[name] == nil && name != s.file.Name {
			strangers[variable] = s.Variable(s.nearest(name))
		}
	}
	return strangers
}

// Flags returns those of commands and of what is below them, each name once.
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
	for _, below := range command.Commands {
		flags = append(flags, allFlags(below)...)
	}
	return flags
}

// source is where a flag finds its variable's or the file's value, once they are read.
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

func (f source) String() string   { return fmt.Sprintf("%s or the file's %s", f.Key(), f.name) }
func (f source) GoString() string { return f.String() }
