package main

import (
	"context"
	"encoding/json"
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
		Usage: "print a user's current recommendations from Redis",
		Description: `Prints what "serve" would answer: the user's own list, without what the shop has
blocked or cannot sell, and popular items after it, if that is too few.

Examples:  genrec recommend --redis redis:6379 --user alice
           genrec recommend --redis redis:6379 --user alice -n 5 --category shoes --exclude-seen`,
		Flags: join(readerFlags(), []cli.Flag{
			&cli.StringFlag{Name: "user", Usage: "external `ID`"},
			&cli.IntFlag{Name: "n", Value: recs.DefaultN, Usage: fmt.Sprintf("most items, up to %d", recs.MaxN)},
			&cli.StringSliceFlag{Name: "exclude", Usage: "`ITEM` that is not wanted, repeatable"},
			&cli.BoolFlag{Name: "exclude-seen", Usage: "leave out the items of the user's newest events"},
			&cli.StringSliceFlag{Name: "category", Usage: "`NAME`, repeatable: only items of one of these"},
			&cli.IntFlag{Name: "diversity", Usage: "most items of one category; 0 is any number"},
			&cli.BoolFlag{Name: "json", Usage: "print it as serve answers it"},
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.String("user") == "" {
				return errors.New("--user is needed: whose recommendations?")
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
	user := cmd.String("user")
	answers, err := client.Read(ctx, []string{user}, recs.Query{
		N: cmd.Int("n"), Exclude: cmd.StringSlice("exclude"), ExcludeSeen: cmd.Bool("exclude-seen"),
		Categories: cmd.StringSlice("category"), PerCategory: cmd.Int("diversity"),
	})
	if err != nil {
		return sessions.WithRemedy(err)
	}
	if out := cmd.Root().Writer; cmd.Bool("json") {
		return json.NewEncoder(out).Encode(answers[0])
	} else if answers[0].Source != recs.SourceNone {
		return printAnswer(out, answers[0])
	}
	return fmt.Errorf("user %q: %w that pass, and no popular items either: is a model trained, and does infer run?", user, recs.ErrNotFound)
}

func printAnswer(out io.Writer, a recs.Answer) error {
	_, err := fmt.Fprintf(out, "user %s, source %s, model %s, generated %s\n", a.User, a.Source, a.ModelVersion, a.GeneratedAt.Format("2006-01-02 15:04:05"))
	for i := 0; i < len(a.Items) && err == nil; i++ {
		item := a.Items[i]
		_, err = fmt.Fprintf(out, "%3d  %-40s %10.6f  %s\n", i+1, item.Item, item.Score, item.Source)
	}
	return err
}
