package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v3"

	"genrec/sessions"
)

func recommendCommand() *cli.Command {
	return &cli.Command{
		Name:  "recommend",
		Usage: "print a user's current recommendations from Redis",
		Description: `Prints what shops read: the user's own list, or the popular items for a user
without one.

Example:   genrec recommend --redis redis:6379 --user alice`,
		Flags: join(redisFlags(), []cli.Flag{
			&cli.StringFlag{Name: "user", Usage: "external `ID`", Required: true},
			&cli.BoolFlag{Name: "json", Usage: "print the value as it stands in Redis"},
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.String("redis") == "" {
				return errors.New("--redis is needed: where are the recommendations?")
			}
			var s servers
			err := s.openStore(ctx, cmd)
			if err == nil {
				err = printRecommendations(ctx, s.store, cmd.String("user"), cmd.Bool("json"))
			}
			return errors.Join(err, s.close())
		},
	}
}

func printRecommendations(ctx context.Context, store *sessions.Store, user string, asJSON bool) error {
	recs, err := store.Recommendations(ctx, user)
	if errors.Is(err, sessions.ErrNotFound) {
		return fmt.Errorf("user %q: %w, and no popular items either: is a model trained, and does infer run?", user, err)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(recs)
	}
	fmt.Printf("user %s, source %s, model %s, generated %s\n", user, recs.Source, recs.ModelVersion, recs.GeneratedAt.Format("2006-01-02 15:04:05"))
	for i, item := range recs.Items {
		fmt.Printf("%3d  %-40s %.6f\n", i+1, item.Item, item.Score)
	}
	return nil
}
