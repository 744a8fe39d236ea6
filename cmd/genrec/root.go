package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/telemetry"
)

// variablePrefix begins the names of the environment variables of all flags.
const variablePrefix = "GENREC_"

// application is the root command with the settings of all commands.
type application struct {
	*cli.Command
	given *settings.Settings
}

// Run runs the command that the arguments name.
func (a application) Run(ctx context.Context, arguments []string) error {
	return a.given.Run(ctx, arguments)
}

func newApp() application {
	given := settings.New(variablePrefix)
	app := &cli.Command{
		Name:  "genrec",
		Usage: "a streaming recommender: new recommendations after each event",
		Description: `Interaction events arrive on Kafka. "ingest" appends them to the users' sequences in
Redis, "infer" regenerates a user's recommendations after each event and writes them to
Redis, and "retrain" trains new models on the collected events.

Try it without installing anything:   genrec demo
Use your own Kafka and Redis:         genrec all --kafka HOST:9092 --redis HOST:6379

Each flag can also be set by the environment variable that its help names, or in a YAML
file named by --config: see "genrec config --help".`,
		Version:                         thisBuild().String(),
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: describeCompletion,
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {}, // main handles errors
		Flags: []cli.Flag{&cli.StringFlag{
			Name: "log-level", Value: "info", Usage: "minimum `LEVEL` of log messages: debug, info, warn or error",
			Validator: parsable(parseLevel),
		}},
		Commands: []*cli.Command{
			demoCommand(), allCommand(), ingestCommand(), deadCommand(), forgetCommand(), importCommand(), exportCommand(), inferCommand(),
			retrainCommand(), evalCommand(), modelsCommand(), recommendCommand(), serveCommand(), doctorCommand(given), versionCommand(),
		},
	}
	app.Commands = append(app.Commands, configCommand(settings.Flags(app.Commands...), given))
	given.Bind(app)
	app.Before = func(ctx context.Context, cmd *cli.Command) (context.Context, error) { return ctx, setUpLogging(cmd) }
	reportUsageErrors(app, given)
	return application{app, given}
}

// describeCompletion adds help to the library's completion command, and lists it.
func describeCompletion(cmd *cli.Command) {
	cmd.Hidden = false
	cmd.Usage = "print a shell completion script"
	cmd.Description = `The shell loads the script at its next start if it is saved as in the examples. bash
needs the package bash-completion for that; zsh needs the folder in its fpath.

Examples:  genrec completion bash > ~/.local/share/bash-completion/completions/genrec
           genrec completion zsh  > ~/.zsh/completions/_genrec
           genrec completion fish > ~/.config/fish/completions/genrec.fish`
}

// service is the action of a command that runs until it is stopped. A stop is not an error,
// even while the command is still waiting for a server.
func service(run cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		err := run(ctx, cmd)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
}

// reportUsageErrors makes every command report all problems of the command line, environment
// variables and configuration file together, instead of printing its help.
func reportUsageErrors(app *cli.Command, given *settings.Settings) {
	queue := []*cli.Command{app}
	for len(queue) > 0 {
		command := queue[0]
		command.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error {
			return cmp.Or(usageError(given, nil), err)
		}
		command.ArgValidator = func(_ context.Context, cmd *cli.Command) error { return usageError(given, cmd) }
		queue = append(queue[1:], command.Commands...)
	}
}

// usageError returns all problems, or nil; parsed is nil if the library could not parse the
// command line. Problems of environment variables and of the configuration file do not count
// for commands that need neither, or that report them themselves.
func usageError(given *settings.Settings, parsed *cli.Command) error {
	command, arguments, lineProblems := given.CommandLine()
	if parsed != nil {
		command, arguments = parsed, parsed.Args().Slice()
	}
	wrongUse := settings.Join(lineProblems, strayArgument(command, arguments))
	otherProblems := given.Read()
	if wrongUse == nil && toleratesProblems(command) {
		return nil
	}
	all := settings.Join(wrongUse, otherProblems)
	if wrongUse == nil || all == nil {
		return all
	}
	return fmt.Errorf("%w\nfor help: %s --help", all, command.FullName())
}

// toleratesProblems is true for commands that are useful with invalid settings: groups, which
// print their help, and commands that inspect the settings or do not read them.
func toleratesProblems(command *cli.Command) bool {
	if hasCommands(command) {
		return true
	}
	return slices.ContainsFunc(command.Lineage(), func(c *cli.Command) bool {
		return slices.Contains([]string{"help", "completion", "version", "doctor", "config"}, c.Name)
	})
}

// strayArgument rejects arguments that a command would ignore, such as an address without its
// flag.
func strayArgument(command *cli.Command, arguments []string) error {
	switch {
	case len(arguments) == 0 || command.ArgsUsage != "":
		return nil
	case !hasCommands(command):
		return fmt.Errorf("unexpected argument %q", arguments[0])
	}
	if near := cli.SuggestCommand(command.Commands, arguments[0]); near != "" {
		return fmt.Errorf("unknown command %q: did you mean %q?", arguments[0], near)
	}
	return fmt.Errorf("unknown command %q", arguments[0])
}

// hasCommands is true if a command has subcommands besides the help that every command has.
func hasCommands(cmd *cli.Command) bool {
	return slices.ContainsFunc(cmd.Commands, func(c *cli.Command) bool { return c.Name != "help" })
}

func setUpLogging(cmd *cli.Command) error {
	options, err := logOptions(cmd)
	if err != nil {
		return err
	}
	redis.SetLogger(redisLog{})
	setLogHandler(slog.NewTextHandler(os.Stderr, options))
	return nil
}

func logOptions(cmd *cli.Command) (*slog.HandlerOptions, error) {
	level, err := parseLevel(cmd.String("log-level"))
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	return &slog.HandlerOptions{Level: level}, nil
}

func parseLevel(text string) (level slog.Level, err error) {
	err = level.UnmarshalText([]byte(text))
	return level, err
}

func setLogHandler(h slog.Handler) { slog.SetDefault(slog.New(telemetry.WithTraces(h))) }

// redisLog logs go-redis's own messages at debug level: those that matter are returned as
// errors, too.
type redisLog struct{}

// Printf implements go-redis's logger.
func (redisLog) Printf(ctx context.Context, format string, values ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, values...))
}
