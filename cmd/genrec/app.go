package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"genrec/pkg/telemetry"
)

func newApp() *cli.Command {
	commands := []*cli.Command{demoCommand(), allCommand(), ingestCommand(), deadCommand(), forgetCommand(), importCommand(), exportCommand(), inferCommand(), retrainCommand(), evalCommand(), modelsCommand(), recommendCommand(), serveCommand(), doctorCommand(), versionCommand()}
	return &cli.Command{
		Name:  "genrec",
		Usage: "a recommender that answers each event with new recommendations",
		Description: `Interaction events arrive on Kafka. "ingest" keeps each user's sequence in
Redis, "infer" regenerates the user's recommendations after each event and
writes them to Redis, "retrain" makes a better model of what has accumulated.

See it work, with nothing installed:   genrec demo
On servers of your own:                genrec all --kafka HOST:9092 --redis HOST:6379

Every flag can be given by the environment variable that its help names.`,
		EnableShellCompletion: true,
		ExitErrHandler:        func(context.Context, *cli.Command, error) {}, // main decides
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "log-level", Value: "info", Usage: "least severe `LEVEL` to log: debug, info, warn, error",
				Sources: cli.EnvVars("GENREC_LOG_LEVEL"),
			},
		},
		Before: setUpLogging,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if unknown := cmd.Args().First(); unknown != "" {
				return fmt.Errorf("unknown command %q: genrec --help lists them", unknown)
			}
			return cli.ShowAppHelp(cmd)
		},
		Commands: append(commands, configCommand(slices.Clone(commands))),
	}
}

func setUpLogging(ctx context.Context, cmd *cli.Command) (context.Context, error) {
	options, err := logOptions(cmd)
	if err != nil {
		return ctx, err
	}
	redis.SetLogger(redisLog{})
	logThrough(slog.NewTextHandler(os.Stderr, options))
	return ctx, nil
}

func logOptions(cmd *cli.Command) (*slog.HandlerOptions, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cmd.String("log-level"))); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	return &slog.HandlerOptions{Level: level}, nil
}

func logThrough(h slog.Handler) { slog.SetDefault(slog.New(telemetry.WithTraces(h))) }

// redisLog keeps go-redis's own messages for debugging: what matters of them comes
// back as errors.
type redisLog struct{}

// Printf implements go-redis's logger.
func (redisLog) Printf(ctx context.Context, format string, values ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, values...))
}
