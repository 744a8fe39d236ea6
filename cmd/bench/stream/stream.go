// Package stream measures genrec end to end, with Kafka and Redis.
//
// With -measure infer, the default, it measures the path from an event in Kafka to the list of the
// user in Redis: the highest steady rate, the latency, and the time of each stage. With -measure ingest it
// measures the throughput of ingest on a backlog of events.
package stream

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

type settings struct {
	measure                    string
	genrec, jars, kafka, redis string
	partitions, users, rounds  int

	// For -measure ingest:
	events, backlog int
	curve           bool

	// For -measure infer:
	engine, against, againstEngine string
	models, data, ids              string
	devices, inferArgs             string
	workers, masters               int
	window                         time.Duration
	rate                           float64
	memory                         time.Duration
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.measure, "measure", "infer", "infer: from events to recommendations; ingest: from events to sequences")
	flags.StringVar(&s.genrec, "genrec", "bin/genrec", "genrec `BINARY` to measure")
	flags.StringVar(&s.jars, "jars", "", "`FOLDER` of Kafka's jars, as printed by deploy/kafka/setup.sh")
	flags.StringVar(&s.kafka, "kafka", "", "`HOST:PORT` of an existing Kafka, whose genrec topics are DELETED; default is to start one")
	flags.StringVar(&s.redis, "redis", "", "`HOST:PORT` of an existing Redis, or several of a Redis Cluster, which is EMPTIED; default is to start one")
	flags.IntVar(&s.partitions, "partitions", 0, "partitions of each topic; default is 8, and 4 with -measure ingest")
	flags.IntVar(&s.users, "users", 0, "distinct users; default is 50,000 on CPUs, 200,000 on GPUs, and 100,000 with -measure ingest")
	flags.IntVar(&s.rounds, "rounds", 0, "measurements to take the median of; default is 1, and 3 with -measure ingest")

	flags.IntVar(&s.events, "events", 400_000, "ingest: events of one measurement")
	flags.IntVar(&s.backlog, "backlog", 0, "ingest: also measure a backlog of this many events; 0: none")
	flags.BoolVar(&s.curve, "curve", false, "ingest: also measure several numbers of partitions and processes")

	flags.StringVar(&s.engine, "engine", "", "bench `BINARY` whose subcommand engine measures the engine alone; default is this one")
	flags.StringVar(&s.against, "against", "", "another genrec `BINARY` to measure in turn with the first one")
	flags.StringVar(&s.againstEngine, "against-engine", "", "bench `BINARY` of that build; default is the one of -engine")
	flags.StringVar(&s.models, "models", "", "model registry `FOLDER`; default is a small model trained on -data and kept in the cache folder")
	flags.StringVar(&s.data, "data", "../shared/data/Beauty.txt", "dataset `FILE` with the users' histories, one user per line: user item item ...")
	flags.StringVar(&s.ids, "ids", "permuted", "permuted or published: item ids of the dataset that the model was trained on")
	flags.StringVar(&s.devices, "device", "cpu", "cpu, cuda or cuda:N; several, separated by commas, start an infer process on each")
	flags.StringVar(&s.inferArgs, "infer-args", "", "additional `FLAGS` of genrec infer, such as \"--precision bfloat16\"")
	flags.IntVar(&s.workers, "workers", 0, "infer processes, distributed over the devices; default is one per device")
	flags.IntVar(&s.masters, "masters", 1, "Redis masters; more than one form a Redis Cluster")
	flags.DurationVar(&s.window, "window", 30*time.Second, "duration for which the backlog of a steady rate must not grow")
	flags.Float64Var(&s.rate, "rate", 0, "events per second for -memory; default is 90 % of the steady capacity")
	flags.DurationVar(&s.memory, "memory", 0, "watch the resident memory of infer for this long, such as 10m; with -rate, measure nothing else")
	return func(ctx context.Context) error {
		err := run(ctx, s)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
}

func run(ctx context.Context, s settings) (err error) {
	if err := errors.Join(s.complete(), s.checkBinaries()); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "bench-stream-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if s.measure == "ingest" {
		return measureIngest(ctx, s, folder)
	}
	return measureInfer(ctx, s, folder)
}

// complete sets the defaults that depend on other flags, and validates.
func (s *settings) complete() (err error) {
	if s.engine == "" {
		if s.engine, err = os.Executable(); err != nil {
			return fmt.Errorf("-engine: %w", err)
		}
	}
	partitions, users, rounds := 8, 50_000, 1
	switch {
	case s.measure == "ingest":
		partitions, users, rounds = 4, 100_000, 3
	case s.measure != "infer":
		return fmt.Errorf("-measure: %q is neither infer nor ingest", s.measure)
	case s.onGPU():
		users = 200_000
	}
	for _, f := range []struct {
		name      string
		value     *int
		byDefault int
	}{
		{"partitions", &s.partitions, partitions},
		{"users", &s.users, users},
		{"rounds", &s.rounds, rounds},
		{"workers", &s.workers, len(s.deviceNames())},
		{"masters", &s.masters, 1},
	} {
		if *f.value == 0 {
			*f.value = f.byDefault
		}
		if *f.value < 1 {
			return fmt.Errorf("-%s: %d is not positive", f.name, *f.value)
		}
	}
	if s.measure == "ingest" {
		if s.masters > 1 || strings.Contains(s.redis, ",") {
			return errors.New("-masters: ingest is measured on a single Redis")
		}
		return nil
	}
	switch {
	case s.ids != "permuted" && s.ids != "published":
		return fmt.Errorf("-ids: %q is neither permuted nor published", s.ids)
	case s.window <= 0:
		return fmt.Errorf("-window: %v is not positive", s.window)
	case s.rate < 0 || s.memory < 0:
		return errors.New("-rate, -memory: negative")
	case s.rate > 0 && s.memory == 0:
		return errors.New("-rate requires -memory")
	case s.workers < len(s.deviceNames()):
		return fmt.Errorf("-workers: %d are fewer than devices", s.workers)
	}
	return nil
}

// checkBinaries returns an error for each missing program.
func (s *settings) checkBinaries() error {
	for _, f := range []struct{ name, path string }{
		{"genrec", s.genrec}, {"engine", s.engine}, {"against", s.against}, {"against-engine", s.againstEngine},
	} {
		if f.path == "" {
			continue
		}
		if _, err := exec.LookPath(f.path); err != nil {
			return fmt.Errorf("-%s: %w", f.name, err)
		}
	}
	return nil
}

func (s *settings) deviceNames() []string { return strings.Split(s.devices, ",") }

func (s *settings) onGPU() bool { return strings.Contains(s.devices, "cuda") }
