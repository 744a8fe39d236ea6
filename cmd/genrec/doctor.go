package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"
)

// finding is what an examination says of one thing.
type finding struct {
	Subject string `json:"subject"`
	OK      bool   `json:"ok"`
	Text    string `json:"text"`
	Remedy  string `json:"remedy,omitempty"` // what to do
}

func healthy(subject, format string, args ...any) finding {
	return finding{Subject: subject, OK: true, Text: fmt.Sprintf(format, args...)}
}

func ill(subject string, err error, remedy string) finding {
	return finding{Subject: subject, Text: err.Error(), Remedy: remedy}
}

// examination looks at one thing, and may leave it out where no flag names it.
type examination func(context.Context, *cli.Command) []finding

// examinationTimeout is how long one may take.
const examinationTimeout = 15 * time.Second

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "look whether all that genrec needs is there, and say what to do",
		Description: `Examines this machine, and the Kafka, the Redis and the models that are named, without
changing anything, and ends with exit code 1 if something is wrong.

Example:   genrec doctor --kafka kafka:9092 --redis redis:6379 --models /srv/models`,
		Flags: join(clusterFlags(), redisFlags(), modelFlags(), precisionFlag(), []cli.Flag{jsonFlag()}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			var all []finding
			for _, examine := range []examination{examineMachine, examineKafka, examineRedis, examineModels} {
				limited, cancel := context.WithTimeout(ctx, examinationTimeout)
				all = append(all, examine(limited, cmd)...)
				cancel()
			}
			if err := printFindings(cmd.Root().Writer, all, cmd.Bool("json")); err != nil {
				return err
			}
			wrong := 0
			for _, f := range all {
				if !f.OK {
					wrong++
				}
			}
			if wrong > 0 {
				return fmt.Errorf("%d of %d things are wrong", wrong, len(all))
			}
			return nil
		},
	}
}

func printFindings(w io.Writer, all []finding, asJSON bool) error {
	if asJSON {
		return encodeLines(w, all)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range all {
		state := "ok"
		if !f.OK {
			state = "WRONG"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", state, f.Subject, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(table, "\t\t→ %s\n", f.Remedy)
		}
	}
	return table.Flush()
}
