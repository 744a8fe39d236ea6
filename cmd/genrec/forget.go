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
		Description: `Removes what there is of the users in Redis and erases their dead letters. What
stays is a time under a hash of each id, so that their events up to now are ignored
for ever, also when they are read again, and the models trained from now on are
without them. Events after now begin a new sequence: users may come back.

The topics keep events as long as their retention says, and models that are there
stay as they are. Can be repeated.

Users of whom nothing was found in Redis are listed: an id that is misspelled erases
nobody. An id that no user can have, and a file that is not text, end the command
before anything is erased.

Example:   genrec forget --kafka kafka:9092 --redis redis:6379 --user alice`,
		Flags: join(clusterFlags(), redisFlags(), []cli.Flag{
			userFlag(),
			&cli.StringFlag{Name: "users-file", Usage: "`FILE` with an id a line, in quotes if blanks belong to it; - for the standard input"},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			users, usersErr := usersToForget(cmd)
			cluster, kafkaErr := givenKafka(cmd)
			if err := settings.Join(usersErr, kafkaErr, needed(cmd, "redis", "where are the sequences?")); err != nil {
				return err
			}
			if err := reach(ctx, cluster); err != nil { // before anything is erased
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

// forget begins with Redis, so that dead letters replayed meanwhile change nothing.
func forget(ctx context.Context, cmd *cli.Command, store *sessions.Store, cluster stream.Cluster, users []string) error {
	done, asked, inRedis := forgotten{Users: len(users), NotFound: []string{}}, 0, newProgress(os.Stderr)
	for batch := range slices.Chunk(users, forgetBatch) {
		found, err := store.Forget(ctx, batch, time.Now())
		if err != nil {
			return err
		}
		for i, had := range found {
			if had {
				done.Known++
				continue
			}
			done.NotFound = append(done.NotFound, batch[i])
			if strings.Contains(batch[i], ",") {
				slog.Warn("nothing was there of a user whose id has a comma; several users are several --user", "user", batch[i])
			}
		}
		asked += len(batch)
		inRedis.Reached("forget", "users", int64(asked))
	}
	inRedis.Finish()
	topic, shown := stream.DefaultTopics().DeadLetters, newProgress(os.Stderr)
	var err error
	done.Letters, err = stream.EraseDeadLetters(ctx, slog.Default(), cluster, topic, users, shown.counting("erase", "letters"))
	shown.Finish()
	if err != nil {
		return err
	}
	compacts, err := stream.IsCompacted(ctx, cluster, topic)
	if err == nil && !compacts {
		slog.Warn("erased letters stay on Kafka's disk until the topic's retention ends: give it the cleanup.policy compact,delete", "topic", topic)
	}
	return errors.Join(err, printForgotten(cmd, done))
}

// forgotten is what forget did.
type forgotten struct {
	Users    int      `json:"users"`
	Known    int      `json:"known"` // who had something in Redis
	Letters  int      `json:"dead_letters"`
	NotFound []string `json:"not_found"` // who had nothing in Redis
}

func printForgotten(cmd *cli.Command, f forgotten) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%d users forgotten, %d of them had something in Redis; %d dead letters erased", f.Users, f.Known, f.Letters)
	for _, user := range f.NotFound {
		fmt.Fprintf(&text, "\nnothing found in Redis: %q", user)
	}
	return printResult(cmd, f, text.String())
}

func usersToForget(cmd *cli.Command) ([]string, error) {
	users := slices.Clone(cmd.StringSlice("user"))
	for _, user := range users {
		if err := event.CheckID("user", user); err != nil {
			return nil, settings.Wrong(cmd, err, "user")
		}
	}
	if path := cmd.String("users-file"); path != "" {
		more, err := readUsers(path)
		if err != nil {
			return nil, settings.Wrong(cmd, err, "users-file")
		}
		users = append(users, more...)
	}
	if len(users) == 0 {
		return nil, errors.New("--user or --users-file is needed: whom to forget?")
	}
	return unique(users), nil
}

// unique drops repetitions: the second time, nothing would be found of a user.
func unique(users []string) []string {
	met := make(map[string]bool, len(users))
	return slices.DeleteFunc(users, func(user string) bool {
		again := met[user]
		met[user] = true
		return again
	})
}

// userFlag is repeated for several: an id may have commas.
func userFlag() cli.Flag {
	return &settings.LinesFlag{Name: "user", Usage: "external `ID`; can be repeated"}
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
