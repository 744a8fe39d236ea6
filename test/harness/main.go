// Package harness has what end-to-end tests and benchmarks share: the main function with flags and
// signals, child processes and the resources that they use, and polling for an effect.
package harness

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main parses the command line and calls Run.
func Main(name string, run func(context.Context) error) {
	flag.Parse()
	Run(name, run)
}

// Run calls run with a context that SIGINT and SIGTERM cancel. If run fails, it prints the error
// and ends the program with exit code 1.
func Run(name string, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
