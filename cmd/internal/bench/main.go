package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

// Main reads the flags and runs a benchmark until it is done or interrupted; it does not
// return where that fails.
func Main(name string, run func(context.Context) error) {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
