package main

import (
	"bufio"
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
	"genrec/pkg/stream"
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

Example:   genrec forget --kafka kafka:9092 --redis redis:6379 --user alice`,
		Flags: join(clusterFlags(), redisFlags(), []cli.Flag{
			userFlag(),
			&cli.StringFlag{Name: "users-file", Usage: "`FILE` with an id a line, - for the standard input"},
			jsonFlag(),
		}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			users, usersErr := usersToForget(cmd)
			cluster, kafkaErr := givenKafka(cmd)
			if err := settings.Join(usersErr, kafkaErr, needed(cmd, "redis", "where are the sequences?")); err != nil {
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
	known, asked, inRedis := 0, 0, newProgress(os.Stderr)
	for batch := range slices.Chunk(users, forgetBatch) {
		found, err := store.Forget(ctx, batch, time.Now())
		if err != nil {
			return err
		}
		for i, had := range found {
			if had {
				known++
			} else if strings.Contains(batch[i], ",") {
				slog.Warn("nothing was there of a user whose id has a comma; several users are several --user", "user", batch[i])
			}
		}
		asked += len(batch)
		inRedis.Reached("forget", "users", int64(asked))
	}
	inRedis.Finish()
	topic, shown := stream.DefaultTopics().DeadLetters, newProgress(os.Stderr)
	letters, err := stream.EraseLetters(ctx, slog.Default(), cluster, topic, users, shown.counting("erase", "letters"))
	shown.Finish()
	if err != nil {
		return err
	}
	compacts, err := stream.Compacts(ctx, cluster, topic)
	if err == nil && !compacts {
		slog.Warn("erased letters stay on Kafka's disk until the topic's retention ends: give it the cleanup.policy compact,delete", "topic", topic)
	}
	return errors.Join(err, printForgotten(cmd, forgotten{len(users), known, letters}))
}

// forgotten is what forget did.
type forgotten struct {
	Users   int `json:"users"`
	Known   int `json:"known"` // who had something in Redis
	Letters int `json:"dead_letters"`
}

func printForgotten(cmd *cli.Command, f forgotten) error {
	return printResult(cmd, f, fmt.Sprintf("%d users forgotten, %d of them had something in Redis; %d dead letters erased", f.Users, f.Known, f.Letters))
}

func usersToForget(cmd *cli.Command) ([]string, error) {
	users := cmd.StringSlice("user")
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
	return users, nil
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
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if user := strings.TrimSuffix(lines.Text(), "\r"); user != "" {
			users = append(users, user)
		}
	}
	return users, lines.Err()
}
