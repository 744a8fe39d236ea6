package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/stream"
)

func deadCommand() *cli.Command {
	return &cli.Command{
		Name:  "dead",
		Usage: "list what could not be processed, or send it through again",
		Description: `Messages that could not be processed lie on the topic "interactions.dead", their
bytes unchanged, with the reason.

Example:   genrec dead list --kafka kafka:9092`,
		Commands: []*cli.Command{deadListCommand(), deadReplayCommand()},
	}
}

func reasonFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "reason", Usage: "only letters of `REASON`, such as bad_timestamp; can be repeated"}
}

func deadListCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "print the dead letters",
		Description: `Prints those that are there now, partition by partition, oldest first, and ends.

Example:   genrec dead list --kafka kafka:9092 --reason bad_timestamp --since 24h`,
		Flags: join(clusterFlags(), []cli.Flag{
			reasonFlag(),
			&cli.StringFlag{Name: "since", Usage: "only letters since `WHEN`: a duration like 24h, or a time like 2026-03-01T12:00:00Z", Validator: parsable(parseSince)},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			cluster, err := givenKafka(cmd)
			if err == nil {
				err = reach(ctx, cluster)
			}
			if err != nil {
				return err
			}
			since := stream.Earliest
			if text := cmd.String("since"); text != "" {
				at, err := parseSince(text)
				if err != nil {
					return settings.Wrong(cmd, err, "since")
				}
				since = stream.StartAt(at)
			}
			out := newLetterTable(cmd.Root().Writer)
			if cmd.Bool("json") {
				out = newLetterLines(cmd.Root().Writer)
			}
			reasons := cmd.StringSlice("reason")
			foreign, err := stream.ScanDeadLetters(ctx, cluster, stream.DefaultTopics().DeadLetters, since, func(l stream.DeadLetter) error {
				if len(reasons) > 0 && !slices.Contains(reasons, l.Reason) {
					return nil
				}
				return out.print(l)
			})
			if foreign > 0 {
				slog.Warn("left out messages that are no dead letters", "messages", foreign)
			}
			return errors.Join(err, out.end(err == nil))
		},
	}
}

func parseSince(text string) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a duration like 24h nor a time like 2026-03-01T12:00:00Z", text)
	}
	return at, nil
}

// letterPrinter prints letters one by one: there may be millions.
type letterPrinter struct {
	print func(stream.DeadLetter) error
	end   func(whole bool) error // whole: all letters were read
}

func newLetterTable(out io.Writer) letterPrinter {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	const page = 100 // lines that are aligned, and kept in memory, together
	lines := 0
	line := func(columns ...any) error {
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", columns...)
		if lines++; lines%page == 0 && err == nil {
			err = table.Flush()
		}
		return err
	}
	return letterPrinter{
		print: func(l stream.DeadLetter) error {
			if lines == 0 {
				if err := line("BURIED", "REASON", "KEY", "FROM", "DETAIL"); err != nil {
					return err
				}
			}
			from := fmt.Sprintf("%s/%d/%d", l.Original.Topic, l.Original.Partition, l.Original.Offset)
			return line(l.Time.UTC().Format(time.RFC3339), l.Reason, printable(l.Original.Key), from, printable(l.Detail))
		},
		end: func(whole bool) error {
			if lines == 0 && whole {
				_, err := fmt.Fprintln(out, "no dead letters")
				return err
			}
			return table.Flush()
		},
	}
}

// printable keeps what came from outside from controlling the terminal.
func printable[T ~string | ~[]byte](text T) string {
	const longest = 200
	quoted := strconv.QuoteToGraphic(string(text[:min(len(text), longest)]))
	return quoted[1 : len(quoted)-1]
}

func newLetterLines(out io.Writer) letterPrinter {
	lines := json.NewEncoder(out)
	return letterPrinter{
		print: func(l stream.DeadLetter) error { return lines.Encode(letterJSON(l)) },
		end:   func(bool) error { return nil },
	}
}

// letterLine is a letter as --json prints it. What is not UTF-8 is in base64.
type letterLine struct {
	Reason      string            `json:"reason"`
	Detail      string            `json:"detail"`
	Buried      time.Time         `json:"buried"`
	Key         string            `json:"key"`
	Value       string            `json:"value"`
	ValueBase64 []byte            `json:"value_base64,omitempty"`
	CutFrom     int               `json:"cut_from,omitempty"` // bytes that the value had
	Headers     map[string]string `json:"headers,omitempty"`
	Produced    time.Time         `json:"produced,omitzero"`
	Topic       string            `json:"topic"`
	Partition   int               `json:"partition"`
	Offset      int64             `json:"offset"`
	Letter      string            `json:"letter"` // TOPIC/PARTITION/OFFSET
}

func letterJSON(l stream.DeadLetter) letterLine {
	line := letterLine{
		Reason: l.Reason, Detail: l.Detail, Buried: l.Time.UTC(), Key: string(l.Original.Key), CutFrom: l.TruncatedFrom,
		Topic: l.Original.Topic, Partition: l.Original.Partition, Offset: l.Original.Offset, Letter: l.Position(),
	}
	if !l.Original.Time.IsZero() {
		line.Produced = l.Original.Time.UTC()
	}
	if utf8.Valid(l.Original.Value) {
		line.Value = string(l.Original.Value)
	} else {
		line.ValueBase64 = l.Original.Value
	}
	for _, h := range l.Original.Headers {
		if line.Headers == nil {
			line.Headers = make(map[string]string)
		}
		line.Headers[h.Key] = string(h.Value)
	}
	return line
}

func deadReplayCommand() *cli.Command {
	return &cli.Command{
		Name:  "replay",
		Usage: "send dead letters through again",
		Description: `Writes the originals, key, value and headers as they were, to the topics that they
came from: after a fix that lets them pass. Each is marked by the header
` + stream.HeaderReplayed + `, and replayed once: what was replayed before, or died again after it,
stays where it is.

Example:   genrec dead replay --kafka kafka:9092 --reason unknown_type --dry-run`,
		Flags: join(clusterFlags(), []cli.Flag{
			reasonFlag(),
			&cli.BoolFlag{Name: "again", Usage: "also what was replayed before"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only count what would be replayed"},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			cluster, err := givenKafka(cmd)
			if err == nil {
				err = reach(ctx, cluster)
			}
			if err != nil {
				return err
			}
			shown := newProgress(os.Stderr)
			done, err := stream.ReplayDeadLetters(ctx, stream.ReplayConfig{
				Kafka: cluster, Topics: stream.DefaultTopics(), Reasons: cmd.StringSlice("reason"),
				IncludeReplayed: cmd.Bool("again"), DryRun: cmd.Bool("dry-run"), Logger: slog.Default(),
				OnRead: shown.counting("replay", "letters"),
			})
			shown.Finish()
			return errors.Join(err, printReplayed(cmd, done))
		},
	}
}

func printReplayed(cmd *cli.Command, done stream.ReplayResult) error {
	out, dry := cmd.Root().Writer, cmd.Bool("dry-run")
	if cmd.Bool("json") {
		return json.NewEncoder(out).Encode(struct {
			DryRun   bool `json:"dry_run"`
			Replayed int  `json:"replayed"` // in a dry run, to be replayed
			Before   int  `json:"replayed_before"`
			Cut      int  `json:"cut"`
			Rejected int  `json:"rejected"`
			Foreign  int  `json:"foreign"`
		}{dry, done.Replayed, done.AlreadyReplayed, done.Truncated, done.Rejected, done.Foreign})
	}
	what := "replayed"
	if dry {
		what = "to be replayed"
	}
	_, err := fmt.Fprintf(out, "%d %s, %d were before, %d cannot be: cut, %d cannot be: rejected by their topic, %d cannot be: not from a topic of genrec\n",
		done.Replayed, what, done.AlreadyReplayed, done.Truncated, done.Rejected, done.Foreign)
	return err
}
