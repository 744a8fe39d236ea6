// Command genrec is a streaming recommender: events come in through Kafka,
// recommendations come out in Redis.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"genrec/cmd/genrec/settings"
	"genrec/retrain"
)

// Exit codes.
const (
	exitFailure     = 1
	exitInterrupted = 130 // as shells report a program that Ctrl-C ended
)

// exits are the codes of what a program around this one may want to tell from a failure.
var exits = map[int]error{
	2: settings.ErrMistake,
	3: retrain.ErrRefused,
	4: retrain.ErrWaiting,
	5: retrain.ErrNoData,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // the second signal ends the program at once
	}()
	err := newApp().Run(ctx, os.Args)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err == nil:
	case interrupted && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "genrec: stopped")
		os.Exit(exitInterrupted)
	default:
		fmt.Fprintln(os.Stderr, "genrec:", err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	for code, is := range exits {
		if errors.Is(err, is) {
			return code
		}
	}
	return exitFailure
}
