package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/pkg/textfile"
	"genrec/sessions"
)

func forgetCommand() *cli.Command {
	return &cli.Command{
		Name:  "forget",
		Usage: "erase users: their sequences, recommendations and dead letters",
		Description: `Deletes everything that Redis holds of the users, and erases their dead letters. Only a
hash of each user id remains, with the time of the erasure: events up to this time stay
ignored, even if they are read again, and models trained from now on do not use them.
Later events start a new sequence, so a user can come back.

The topics keep events until their retention ends, and existing models do not change. The
command can be repeated.

It lists the users of whom Redis had nothing, because a misspelled id erases nobody. An
invalid id, or a file that is not text, is an error before anything is erased.

Example:   genrec forget --kafka kafka:9092 --redis redis:6379 --user alice`,
		Flags: join(clusterFlags(), redisFlags(), []cli.Flag{
			userFlag(),
			&cli.StringFlag{Name: "users-file", Usage: "`FILE` with one user id per line, in quotes if it begins or ends with a space; -: standard input"},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			users, usersErr := usersToForget(cmd)
			cluster, kafkaErr := requiredKafka(cmd)
			if err := settings.Join(usersErr, kafkaErr, required(cmd, "redis", "the Redis with the sequences")); err != nil {
				return err
			}
			if err := checkConnection(ctx, cluster); err != nil { // before anything is erased
				return err
			}
			var s servers
			err := s.openStore(ctx, cmd)
			if err == nil {
				err = forget(ctx, cmd, s.store, cluster, users)
			}
			return errors.Join(err, s.close())
		},
	}
}

const forgetBatch = 500

// forget erases Redis first, so that dead letters that are replayed meanwhile have no effect.
func forget(ctx context.Context, cmd *cli.Command, store *sessions.Store, cluster stream.Cluster, users []string) error {
	result, done, bar := forgotten{Users: len(users), NotFound: []string{}}, 0, newProgress(os.Stderr)
	for batch := range slices.Chunk(users, forgetBatch) {
		found, err := store.Forget(ctx, batch, time.Now())
		if err != nil {
			return err
		}
		for i, known := range found {
			if known {
				result.Known++
				continue
			}
			result.NotFound = append(result.NotFound, batch[i])
			if strings.Contains(batch[i], ",") {
				slog.WarnContext(ctx, "nothing found of a user whose id contains a comma: repeat --user for several users", "user", batch[i])
			}
		}
		done += len(batch)
		bar.Reached("forget", "users", int64(done))
	}
	bar.Finish()
	topic := stream.DefaultTopics().DeadLetters
	bar = newProgress(os.Stderr)
	var err error
	result.DeadLetters, err = stream.EraseDeadLetters(ctx, slog.Default(), cluster, topic, users, bar.counter("erase", "dead letters"))
	bar.Finish()
	if err != nil {
		return err
	}
	compacted, err := stream.IsCompacted(ctx, cluster, topic)
	if err == nil && !compacted {
		slog.WarnContext(ctx, "erased dead letters stay on Kafka's disk until the topic's retention ends: set its cleanup.policy to compact,delete", "topic", topic)
	}
	return errors.Join(err, printForgotten(cmd, result))
}

// forgotten is the result of forget.
type forgotten struct {
	Users       int      `json:"users"`
	Known       int      `json:"known"` // users of whom Redis had something
	DeadLetters int      `json:"dead_letters"`
	NotFound    []string `json:"not_found"` // users of whom Redis had nothing
}

func printForgotten(cmd *cli.Command, f forgotten) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%d users forgotten, %d of them had something in Redis; %d dead letters erased", f.Users, f.Known, f.DeadLetters)
	for _, user := range f.NotFound {
		fmt.Fprintf(&text, "\nnothing found in Redis: %q", user)
	}
	return printResult(cmd, f, text.String())
}

func usersToForget(cmd *cli.Command) ([]string, error) {
	users := slices.Clone(cmd.StringSlice("user"))
	for _, user := range users {
		if err := event.CheckID("user", user); err != nil {
			return nil, settings.Invalid(cmd, err, "user")
		}
	}
	if path := cmd.String("users-file"); path != "" {
		more, err := readUsers(path)
		if err != nil {
			return nil, settings.Invalid(cmd, err, "users-file")
		}
		users = append(users, more...)
	}
	if len(users) == 0 {
		return nil, errors.New("--user or --users-file is required: the users to forget")
	}
	return unique(users), nil
}

// unique removes repetitions: a user is not found a second time.
func unique(users []string) []string {
	seen := make(map[string]bool, len(users))
	return slices.DeleteFunc(users, func(user string) bool {
		again := seen[user]
		seen[user] = true
		return again
	})
}

func readUsers(path string) (users []string, err error) {
	file := os.Stdin
	if path != "-" {
		if file, err = os.Open(path); err != nil {
			return nil, err
		}
		defer file.Close()
	}
	lines := textfile.NewScanner(file, textfile.DefaultMaxLine)
	for lines.Scan() {
		user := lines.Unquoted()
		if err := event.CheckID("user", user); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, lines.Line(), err)
		}
		users = append(users, user)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return users, nil
}
