// Command genrec is a streaming recommender: it reads interaction events from Kafka and keeps
// each user's recommendations in Redis up to date.
//
// Each command has a file of its own, named after it, with its flags and the wiring of the
// packages that do the work. Files without a command define the flags and connections that
// commands share. Settings come from flags, environment variables and a file: see package
// settings. main.go decides on the exit code.
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

const (
	exitFailure     = 1
	exitInterrupted = 130 // as shells report a program that Ctrl-C stopped
)

// exitCodes are the outcomes that scripts can tell from a failure.
var exitCodes = map[int]error{
	2: settings.ErrInvalid,
	3: retrain.ErrRefused,
	4: retrain.ErrWaiting,
	5: retrain.ErrNoData,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal kills the program
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
	for code, outcome := range exitCodes {
		if errors.Is(err, outcome) {
			return code
		}
	}
	return exitFailure
}
