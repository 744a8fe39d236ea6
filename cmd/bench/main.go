// Command bench runs the benchmarks of docs/PERFORMANCE.md, one per subcommand:
//
//	bench NAME [flags]
//
// Each prints its progress and, as its last line, the machine-readable result, "NAME key=value …". Most
// have a make target bench-NAME, which installs the requirements.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"genrec/cmd/bench/engine"
	"genrec/cmd/bench/growth"
	"genrec/cmd/bench/inference"
	"genrec/cmd/bench/memory"
	"genrec/cmd/bench/serve"
	"genrec/cmd/bench/snapshot"
	"genrec/cmd/bench/stream"
	"genrec/cmd/bench/training"
	"genrec/cmd/bench/warmstart"
	"genrec/test/harness"
)

// benchmark is a subcommand.
type benchmark struct {
	name     string
	measures string // for the usage message
	// command defines the flags and returns the function to run after they are parsed.
	command func(*flag.FlagSet) func(context.Context) error
}

var benchmarks = []benchmark{
	{"stream", "from an event in Kafka to a recommendation list in Redis, or ingest alone", stream.Command},
	{"engine", "generating recommendations without Kafka and Redis", engine.Command},
	{"serve", "reads over HTTP", serve.Command},
	{"inference", "beam search, compared with transformers and CTranslate2", inference.Command},
	{"growth", "recommendations, training steps and loading with growing catalogs", growth.Command},
	{"training", "training, compared with transformers", training.Command},
	{"warm-start", "training from the previous version, compared with training from scratch", warmstart.Command},
	{"snapshot", "writing and reading snapshots of the history", snapshot.Command},
	{"memory", "Redis memory per user, and appends", memory.Command},
}

func main() {
	if len(os.Args) < 2 {
		usage(os.Stderr)
		os.Exit(2)
	}
	name := os.Args[1]
	for _, b := range benchmarks {
		if b.name == name {
			flags := flag.NewFlagSet("bench "+name, flag.ExitOnError)
			run := b.command(flags)
			_ = flags.Parse(os.Args[2:]) // exits on an error
			harness.Run(flags.Name(), run)
			return
		}
	}
	if name == "help" || name == "-h" || name == "--help" {
		usage(os.Stdout)
		return
	}
	fmt.Fprintf(os.Stderr, "bench: unknown benchmark %q\n", name)
	usage(os.Stderr)
	os.Exit(2)
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: bench NAME [flags]; bench NAME -h lists the flags")
	for _, b := range benchmarks {
		fmt.Fprintf(w, "  %-11s %s\n", b.name, b.measures)
	}
}
