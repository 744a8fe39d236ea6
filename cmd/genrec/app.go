package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/telemetry"
)

// variablePrefix is what the variables of all flags begin with.
const variablePrefix = "GENREC_"

// application is all commands, with their settings.
type application struct {
	*cli.Command
	given *settings.Settings
}

// Run does what a command line says.
func (a application) Run(ctx context.Context, arguments []string) error {
	return a.given.Run(ctx, arguments)
}

func newApp() application {
	given := settings.New(variablePrefix)
	app := &cli.Command{
		Name:  "genrec",
		Usage: "a recommender that answers each event with new recommendations",
		Description: `Interaction events arrive on Kafka. "ingest" keeps each user's sequence in
Redis, "infer" regenerates the user's recommendations after each event and
writes them to Redis, "retrain" makes a better model of what has accumulated.

See it work, with nothing installed:   genrec demo
On servers of your own:                genrec all --kafka HOST:9092 --redis HOST:6379

Every flag can be given by the environment variable that its help names, or by
a YAML file that --config names: "genrec config --help" tells more.`,
		Version:                         thisBuild().String(),
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: describeCompletion,
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {}, // main decides
		Flags: []cli.Flag{&cli.StringFlag{
			Name: "log-level", Value: "info", Usage: "least severe `LEVEL` to log: debug, info, warn, error",
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
	explainMistakes(app, given)
	return application{app, given}
}

// service is the action of a command that works until it is stopped, which is no failure, even
// while it still waits for a server.
func service(run cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		err := run(ctx, cmd)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
}

func setUpLogging(cmd *cli.Command) error {
	options, err := logOptions(cmd)
	if err != nil {
		return err
	}
	redis.SetLogger(redisLog{})
	logThrough(slog.NewTextHandler(os.Stderr, options))
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

func logThrough(h slog.Handler) { slog.SetDefault(slog.New(telemetry.WithTraces(h))) }

// redisLog keeps go-redis's own messages for debugging: what matters of them comes
// back as errors.
type redisLog struct{}

// Printf implements go-redis's logger.
func (redisLog) Printf(ctx context.Context, format string, values ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, values...))
}
