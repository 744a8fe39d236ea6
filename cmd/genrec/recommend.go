package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"genrec/pkg/recs"
	"genrec/sessions"
)

func recommendCommand() *cli.Command {
	return &cli.Command{
		Name:  "recommend",
		Usage: "print users' current recommendations from Redis",
		Description: `Prints what "serve" would answer: a user's own list, without what the shop has
blocked or cannot sell, and popular items after it, if that is too few.

Examples:  genrec recommend --redis redis:6379 --user alice
           genrec recommend --redis redis:6379 --user alice -n 5 --category shoes --exclude-seen`,
		Flags: join(readerFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: "user", Usage: "external `ID`; can be repeated"},
			&cli.IntFlag{Name: "n", Value: recs.DefaultN, Usage: fmt.Sprintf("most items, up to %d", recs.MaxN)},
			&cli.StringSliceFlag{Name: "exclude", Usage: "`ITEM` that is not wanted, repeatable"},
			&cli.BoolFlag{Name: "exclude-seen", Usage: "leave out the items of the user's newest events"},
			&cli.StringSliceFlag{Name: "category", Usage: "`NAME`, repeatable: only items of one of these"},
			&cli.IntFlag{Name: "diversity", Usage: "most items of one category; 0 is any number"},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if len(cmd.StringSlice("user")) == 0 {
				return errors.New("--user is needed: whose recommendations are to be read?")
			}
			rdb, client, err := openReader(cmd)
			if err != nil {
				return err
			}
			return errors.Join(recommend(ctx, cmd, client), rdb.Close())
		},
	}
}

func recommend(ctx context.Context, cmd *cli.Command, client *recs.Client) error {
	answers, err := client.Read(ctx, cmd.StringSlice("user"), recs.Query{
		N: cmd.Int("n"), Exclude: cmd.StringSlice("exclude"), ExcludeSeen: cmd.Bool("exclude-seen"),
		Categories: cmd.StringSlice("category"), PerCategory: cmd.Int("diversity"),
	})
	if err != nil {
		return sessions.WithRemedy(err)
	}
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return encodeLines(out, answers)
	}
	var missing []error
	for _, answer := range answers {
		if answer.Source == recs.SourceNone {
			missing = append(missing, fmt.Errorf("user %q: %w that pass, and no popular items either: is a model trained, and does infer run?", answer.User, recs.ErrNotFound))
		} else if err := printAnswer(out, answer); err != nil {
			return err
		}
	}
	return errors.Join(missing...)
}

func printAnswer(out io.Writer, a recs.Answer) error {
	_, err := fmt.Fprintf(out, "user %s, source %s, model %s, generated %s\n", a.User, a.Source, a.ModelVersion, a.GeneratedAt.Format("2006-01-02 15:04:05"))
	for i := 0; i < len(a.Items) && err == nil; i++ {
		item := a.Items[i]
		_, err = fmt.Fprintf(out, "%3d  %-40s %10.6f  %s\n", i+1, item.Item, item.Score, item.Source)
	}
	return err
}
