package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/recs"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

func recommendCommand() *cli.Command {
	return &cli.Command{
		Name:  "recommend",
		Usage: "print the current recommendations of users",
		Description: `Prints what "genrec serve" would return: the user's own list from Redis, without blocked
and unavailable items, filled up with popular items if it is too short.

Examples:  genrec recommend --redis redis:6379 --user alice
           genrec recommend --redis redis:6379 --user alice -n 5 --category shoes --exclude-seen`,
		Flags: join(readerFlags(), []cli.Flag{
			userFlag(),
			&cli.IntFlag{Name: "n", Value: recs.DefaultN, Usage: fmt.Sprintf("maximum `NUMBER` of items, at most %d", recs.MaxN), Validator: between(1, recs.MaxN)},
			&settings.LinesFlag{Name: "exclude", Usage: "`ITEM` to leave out; can be repeated"},
			&cli.BoolFlag{Name: "exclude-seen", Usage: "leave out the items of the user's newest events"},
			&settings.LinesFlag{Name: "category", Usage: "only items of this `CATEGORY`; can be repeated to allow several"},
			&cli.IntFlag{Name: "diversity", Usage: "maximum `NUMBER` of items of one category; 0: no limit", Validator: atLeast(0)},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			var missing error
			if len(cmd.StringSlice("user")) == 0 {
				missing = errors.New("--user is required: the users whose recommendations to print")
			}
			rdb, client, err := openReader(cmd)
			if err := settings.Join(missing, err); err != nil {
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
		return sessions.WithHint(err)
	}
	out, asJSON := cmd.Root().Writer, cmd.Bool("json")
	if asJSON {
		if err := encodeLines(out, answers); err != nil {
			return err
		}
	}
	var missing []error
	for _, answer := range answers {
		if answer.Source == recs.SourceNone {
			missing = append(missing, whyNone(ctx, cmd, client, answer.User))
			continue
		}
		if asJSON {
			continue
		}
		if err := printAnswer(out, answer); err != nil {
			return err
		}
	}
	return errors.Join(missing...)
}

// whyNone says why there are no recommendations for a user.
func whyNone(ctx context.Context, cmd *cli.Command, client *recs.Client, user string) error {
	keys, err := client.Missing(ctx, user)
	switch {
	case err != nil:
		return sessions.WithHint(err)
	case !slices.Contains(keys, userstate.Keys{Prefix: cmd.String("prefix")}.Popular()):
		return fmt.Errorf("user %q: %w that pass: what is excluded, seen, blocked, unavailable or of other categories leaves none", user, recs.ErrNotFound)
	}
	return fmt.Errorf("user %q: %w that pass, and Redis lacks %s: is a model trained, and does infer run?", user, recs.ErrNotFound, strings.Join(keys, ", "))
}

func printAnswer(out io.Writer, a recs.Answer) error {
	_, err := fmt.Fprintf(out, "user %s, source %s, model %s, generated %s\n", a.User, a.Source, a.ModelVersion, a.GeneratedAt.Format("2006-01-02 15:04:05"))
	for i := 0; i < len(a.Items) && err == nil; i++ {
		item := a.Items[i]
		_, err = fmt.Fprintf(out, "%3d  %-40s %10.6f  %s\n", i+1, item.Item, item.Score, item.Source)
	}
	return err
}
