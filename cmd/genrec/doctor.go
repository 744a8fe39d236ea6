package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
)

// finding is what an examination says of one thing.
type finding struct {
	Subject   string `json:"subject"`
	OK        bool   `json:"ok"`
	Unchecked bool   `json:"unchecked,omitempty"` // nothing was found wrong because it could not be examined
	Text      string `json:"text"`
	Remedy    string `json:"remedy,omitempty"` // what to do
}

func healthy(subject, format string, args ...any) finding {
	return finding{Subject: subject, OK: true, Text: fmt.Sprintf(format, args...)}
}

// unchecked says what could not be examined, and how it can be.
func unchecked(subject, text, remedy string) finding {
	return finding{Subject: subject, OK: true, Unchecked: true, Text: text, Remedy: remedy}
}

// ill tells what to do; without a remedy, the error does so of a setting.
func ill(subject string, err error, remedy string) finding {
	return finding{Subject: subject, Text: err.Error(), Remedy: cmp.Or(remedy, "change the setting: genrec config prints all, and who set them")}
}

// examination looks at one thing, and may leave it out where no flag names it.
type examination func(context.Context, *cli.Command) []finding

// examinationTimeout is how long one may take.
const examinationTimeout = 15 * time.Second

func doctorCommand(given *settings.Settings) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "look whether all that genrec needs is there, and say what to do",
		Description: `Examines the settings, libtorch and the GPU of this machine, and the Kafka with its topics, the Redis,
the models and the history that are named. In Redis it does what services do, for users that
cannot be, and removes what it has written; it changes nothing else. What is wrong is
followed by what to do, and ends it with exit code 1; what it has no right to examine is
"unchecked".

Example:   genrec doctor --kafka kafka:9092 --redis redis:6379 --models /srv/models`,
		Flags: join(clusterFlags(), redisFlags(), historyFlag(), modelFlags(), precisionFlag(), []cli.Flag{jsonFlag()}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			all := examineSettings(given)
			for _, examine := range []examination{examineMachine, examineKafka, examineRedis, examineHistory, examineModels} {
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

// examineSettings finds what is wrong with variables and the file. The others examine what is
// right of them.
func examineSettings(given *settings.Settings) (all []finding) {
	const subject = "settings"
	for _, problem := range given.Problems() {
		all = append(all, ill(subject, problem, "change it, and let genrec config check look once more"))
	}
	if len(all) == 0 {
		all = append(all, healthy(subject, "variables and file are understood"))
	}
	return all
}

func printFindings(w io.Writer, all []finding, asJSON bool) error {
	if asJSON {
		return encodeLines(w, all)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range all {
		state := "ok"
		switch {
		case !f.OK:
			state = "WRONG"
		case f.Unchecked:
			state = "unchecked"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", state, f.Subject, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(table, "\t\t→ %s\n", f.Remedy)
		}
	}
	return table.Flush()
}
