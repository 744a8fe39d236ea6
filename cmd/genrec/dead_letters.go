package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/stream"
)

func deadCommand() *cli.Command {
	return &cli.Command{
		Name:  "dead",
		Usage: "list or replay dead letters: messages that could not be processed",
		Description: `A message that cannot be processed is written, unchanged, to the dead-letter topic
"interactions.dead", with the reason in its headers.

Example:   genrec dead list --kafka kafka:9092`,
		Commands: []*cli.Command{deadListCommand(), deadReplayCommand()},
	}
}

func reasonFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "reason", Usage: "only dead letters with this `REASON`, such as bad_timestamp; can be repeated"}
}

func deadListCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "print the dead letters",
		Description: `Prints the dead letters that the topic holds now, partition by partition, oldest first.

Example:   genrec dead list --kafka kafka:9092 --reason bad_timestamp --since 24h`,
		Flags: join(clusterFlags(), []cli.Flag{
			reasonFlag(),
			&cli.StringFlag{Name: "since", Usage: "only dead letters written since `TIME`: a duration ago, such as 24h, or a time such as 2026-03-01T12:00:00Z", Validator: parsable(parseSince)},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			cluster, err := reachableKafka(ctx, cmd)
			if err != nil {
				return err
			}
			since := stream.Earliest
			if text := cmd.String("since"); text != "" {
				at, err := parseSince(text)
				if err != nil {
					return settings.Invalid(cmd, err, "since")
				}
				since = stream.StartAt(at)
			}
			out := stream.NewDeadLetterTable(cmd.Root().Writer)
			if cmd.Bool("json") {
				out = stream.NewDeadLetterJSON(cmd.Root().Writer)
			}
			reasons := cmd.StringSlice("reason")
			foreign, err := stream.ScanDeadLetters(ctx, cluster, stream.DefaultTopics().DeadLetters, since, func(d stream.DeadLetter) error {
				if len(reasons) > 0 && !slices.Contains(reasons, d.Reason) {
					return nil
				}
				return out.Print(d)
			})
			if foreign > 0 {
				slog.WarnContext(ctx, "skipped messages of the dead-letter topic that are not dead letters", "messages", foreign)
			}
			return errors.Join(err, out.Close(err == nil))
		},
	}
}

func parseSince(text string) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a duration such as 24h nor a time such as 2026-03-01T12:00:00Z", text)
	}
	return at, nil
}

func deadReplayCommand() *cli.Command {
	return &cli.Command{
		Name:  "replay",
		Usage: "write the original messages of dead letters to their topics again",
		Description: `Writes the original messages, with their keys, values and headers, to the topics that
they came from. Use it after a fix that lets them be processed. Replayed messages have the
header ` + stream.HeaderReplayed + `. A dead letter is replayed once; if its message fails again,
the new dead letter is not replayed either, unless --again is given.

Example:   genrec dead replay --kafka kafka:9092 --reason unknown_type --dry-run`,
		Flags: join(clusterFlags(), []cli.Flag{
			reasonFlag(),
			&cli.BoolFlag{Name: "again", Usage: "also replay dead letters that were replayed before"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only count the dead letters that would be replayed"},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			cluster, err := reachableKafka(ctx, cmd)
			if err != nil {
				return err
			}
			bar := newProgress(os.Stderr)
			result, err := stream.ReplayDeadLetters(ctx, stream.ReplayConfig{
				Kafka: cluster, Topics: stream.DefaultTopics(), Reasons: cmd.StringSlice("reason"),
				IncludeReplayed: cmd.Bool("again"), DryRun: cmd.Bool("dry-run"), Logger: slog.Default(),
				OnRead: bar.counter("replay", "dead letters"),
			})
			bar.Finish()
			return errors.Join(err, printReplayed(cmd, result))
		},
	}
}

func printReplayed(cmd *cli.Command, r stream.ReplayResult) error {
	out, dry := cmd.Root().Writer, cmd.Bool("dry-run")
	if cmd.Bool("json") {
		return json.NewEncoder(out).Encode(struct {
			DryRun   bool `json:"dry_run"`
			Replayed int  `json:"replayed"` // in a dry run, to be replayed
			Before   int  `json:"replayed_before"`
			Cut      int  `json:"cut"`
			Rejected int  `json:"rejected"`
			Foreign  int  `json:"foreign"`
		}{dry, r.Replayed, r.AlreadyReplayed, r.Truncated, r.Rejected, r.Foreign})
	}
	what := "replayed"
	if dry {
		what = "to be replayed"
	}
	_, err := fmt.Fprintf(out, "%d %s, %d replayed before; cannot be replayed: %d truncated, %d rejected by their topic, %d not from a topic of genrec\n",
		r.Replayed, what, r.AlreadyReplayed, r.Truncated, r.Rejected, r.Foreign)
	return err
}
