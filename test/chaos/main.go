// Command chaos runs ingest and inference as processes with a real Kafka and Redis. It kills and
// restarts all of them while events arrive late, repeatedly and out of order, cuts and stalls their
// connections, and finally compares Redis with the sorted events.
//
//	chaos events=… kills=… restarts=… lost=… duplicated=… misordered=… stale=… dead_unexplained=…
//
// It fails unless the last five are 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"genrec/pkg/stream"
	"genrec/test/harness"
)

type settings struct {
	jars       string
	duration   time.Duration
	seed       uint64
	rate       int
	users      int
	partitions int
	members    int
	verbose    bool

	work, kafka, redis string // of a child process
}

func main() {
	var s settings
	flag.StringVar(&s.jars, "kafka-jars", "", "`FOLDER` that deploy/kafka/setup.sh prints")
	flag.DurationVar(&s.duration, "duration", 5*time.Minute, "duration of the load")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of the events and faults")
	flag.IntVar(&s.rate, "rate", 500, "events per second")
	flag.IntVar(&s.users, "users", 400, "users; some of them have far more events than a sequence keeps")
	flag.IntVar(&s.partitions, "partitions", 6, "partitions of each topic")
	flag.IntVar(&s.members, "members", 3, "processes of each service")
	flag.BoolVar(&s.verbose, "v", false, "print the logs of the services")
	flag.StringVar(&s.work, "work", "", "internal: run as a process of this service, ingest or inference")
	flag.StringVar(&s.kafka, "kafka", "", "internal: address for -work")
	flag.StringVar(&s.redis, "redis", "", "internal: address for -work")
	harness.Main("chaos", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) error {
	if s.work != "" {
		return runService(ctx, s)
	}
	if s.jars == "" {
		return errors.New("-kafka-jars is required; make chaos sets it")
	}
	if s.duration < minDuration {
		return fmt.Errorf("-duration %v is too short for %d kills and %d restarts: it must be at least %v", s.duration, minKills, restarts, minDuration)
	}
	folder, err := os.MkdirTemp("", "genrec-chaos-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	env, err := newEnvironment(ctx, s, folder)
	if err != nil {
		return err
	}
	defer env.close()
	return env.run(ctx)
}

// run sends the load while it injects faults, waits until everything is processed, and compares the
// result with the events.
func (env *environment) run(ctx context.Context) error {
	random := rand.New(rand.NewPCG(env.s.seed, 1))
	load := newLoad(env.s, rand.New(rand.NewPCG(env.s.seed, 2)))
	faults := make(chan error, 1)
	go func() { faults <- env.injectFaults(ctx, random) }()
	err := load.run(ctx, env.cluster)
	if err := errors.Join(err, <-faults); err != nil {
		return err
	}
	slog.Info("load and faults are over", "events", len(load.sent), "kills", env.kills, "restarts", env.restarts)
	if err := env.settle(ctx); err != nil {
		return err
	}
	found, err := env.compare(ctx, load)
	if err != nil {
		return err
	}
	fmt.Printf("chaos events=%d kills=%d restarts=%d lost=%d duplicated=%d misordered=%d stale=%d dead_unexplained=%d\n",
		len(load.sent)+len(load.invalid), env.kills, env.restarts, found.lost, found.duplicated, found.misordered, found.stale, found.unexplained)
	if found != (differences{}) {
		return fmt.Errorf("seed %d: Redis and the dead letters do not match the events", env.s.seed)
	}
	return nil
}

// settle waits until both consumer groups have no lag. It fails when the lag stops shrinking.
func (env *environment) settle(ctx context.Context) error {
	const patience = 3 * time.Minute
	least, since := int64(-1), time.Now()
	for calm := 0; calm < 3; { // a refresh may be in flight between the topics
		lag, err := env.lag(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && lag == 0:
			calm++
		default:
			calm = 0
		}
		if err == nil && (least < 0 || lag < least) {
			least, since = lag, time.Now()
		}
		if time.Since(since) > patience {
			return errors.Join(fmt.Errorf("no progress for %v, with a lag of %d messages", patience, lag), err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

func (env *environment) lag(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	interactions, err := stream.Lag(ctx, env.cluster, ingestGroup, env.topics.Interactions)
	if err != nil {
		return 0, err
	}
	refreshes, err := stream.Lag(ctx, env.cluster, inferenceGroup, env.topics.Refreshes)
	return interactions + refreshes, err
}
