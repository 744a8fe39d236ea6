// Command bench-stream measures the stream on a Kafka and a Redis of its own: events a second
// through ingest beside what the same Redis does with the same scripts sent by nobody but a
// pipeline, how that grows with partitions and processes, how soon recommendations are
// there, and what a backlog does to memory.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/redis/go-redis/v9"

	"genrec/cmd/internal/program"
	"genrec/pkg/realservers"
	"genrec/pkg/stream"
)

type settings struct {
	genrec, jars, kafka, redis, models, data string
	events, users, backlog, partitions       int
	rounds                                   int
	curve                                    bool
}

func main() {
	var s settings
	flag.StringVar(&s.genrec, "genrec", "bin/genrec", "program to measure")
	flag.StringVar(&s.jars, "jars", "", "folder of Kafka's jars, as deploy/kafka/setup.sh prints it")
	flag.StringVar(&s.kafka, "kafka", "", "HOST:PORT of a Kafka to use in place of one of its own")
	flag.StringVar(&s.redis, "redis", "", "HOST:PORT of a Redis to use in place of one of its own, which it EMPTIES")
	flag.StringVar(&s.models, "models", "", "folder of the model versions for freshness; none: no freshness")
	flag.StringVar(&s.data, "data", "../shared/data/Beauty.txt", "dataset of the users for freshness, one of those that the model was trained on")
	flag.IntVar(&s.events, "events", 400_000, "events of a measurement of throughput")
	flag.IntVar(&s.users, "users", 100_000, "users that they are of")
	flag.IntVar(&s.partitions, "partitions", 4, "partitions of the topics")
	flag.IntVar(&s.backlog, "backlog", 0, "events of a backlog to work off; 0: none")
	flag.IntVar(&s.rounds, "rounds", 3, "times that Redis alone and ingest are measured by turns")
	flag.BoolVar(&s.curve, "curve", false, "measure several numbers of partitions and processes")
	program.Main("bench-stream", func(ctx context.Context) error { return run(ctx, s) })
}

// rig is what everything is measured on.
type rig struct {
	settings
	cluster stream.Cluster
	rdb     *redis.Client
	servers processors // of its own
}

func run(ctx context.Context, s settings) (err error) {
	r := &rig{settings: s}
	folder, err := os.MkdirTemp("", "bench-stream-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	stop, err := r.start(ctx, folder)
	defer stop()
	if err != nil {
		return err
	}
	defer r.rdb.Close()

	if s.rounds < 1 {
		return fmt.Errorf("-rounds: %d is not positive", s.rounds)
	}
	typical, err := r.byTurns(ctx)
	if err != nil {
		return err
	}
	if s.curve {
		if err := r.growth(ctx); err != nil {
			return err
		}
	}
	if s.backlog > 0 {
		worked, err := r.throughput(ctx, s.partitions, 1, s.backlog)
		if err != nil {
			return err
		}
		fmt.Println("backlog:", worked)
	}
	line := fmt.Sprintf("stream events_per_s=%.0f redis_ceiling=%.0f ratio=%.2f", typical.rate, typical.ceiling, typical.ratio())
	if s.models != "" {
		fresh, err := r.freshness(ctx)
		if err != nil {
			return err
		}
		line += fmt.Sprintf(" freshness_p50_ms=%.1f freshness_p99_ms=%.1f", fresh.p50, fresh.p99)
	}
	fmt.Println(line)
	return nil
}

// start starts the servers that are not given.
func (r *rig) start(ctx context.Context, folder string) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	if r.kafka == "" {
		at := filepath.Join(folder, "kafka")
		if err := os.Mkdir(at, 0o700); err != nil {
			return stop, err
		}
		k, err := realservers.StartKafka(ctx, realservers.KafkaConfig{Jars: r.jars, Folder: at})
		if err != nil {
			return stop, err
		}
		stops, r.kafka = append(stops, k.Close), k.Address()
		r.servers.add("Kafka", k.Process())
	}
	if r.redis == "" {
		at := filepath.Join(folder, "redis")
		if err := os.Mkdir(at, 0o700); err != nil {
			return stop, err
		}
		server, err := realservers.StartRedis(ctx, realservers.RedisConfig{Folder: at})
		if err != nil {
			return stop, err
		}
		stops, r.redis = append(stops, server.Close), server.Address()
		r.servers.add("Redis", server.Process())
	}
	r.cluster = stream.Cluster{Brokers: []string{r.kafka}}
	r.rdb = redis.NewClient(&redis.Options{Addr: r.redis, ContextTimeoutEnabled: true})
	return stop, r.rdb.Ping(ctx).Err()
}

// round is ingest beside Redis alone.
type round struct{ rate, ceiling float64 }

func (r round) ratio() float64 { return r.rate / r.ceiling }

// byTurns measures both, one after the other, several times, and returns the round of the
// median ratio. A Kafka that has just started is busy compiling itself, so that a first
// backlog does not count.
func (r *rig) byTurns(ctx context.Context) (round, error) {
	first, err := r.throughput(ctx, r.partitions, 1, r.events)
	if err != nil {
		return round{}, err
	}
	fmt.Println("to warm up:", first)
	rounds := make([]round, r.rounds)
	for i := range rounds {
		if rounds[i].ceiling, err = r.ceiling(ctx); err != nil {
			return round{}, err
		}
		through, err := r.throughput(ctx, r.partitions, 1, r.events)
		if err != nil {
			return round{}, err
		}
		rounds[i].rate = through.rate
		fmt.Printf("round %d: Redis alone %.0f events/s by %d connections that send prepared scripts; %v; ratio %.2f\n",
			i+1, rounds[i].ceiling, ceilingConnections, through, rounds[i].ratio())
	}
	slices.SortFunc(rounds, func(a, b round) int { return cmp.Compare(a.ratio(), b.ratio()) })
	return rounds[len(rounds)/2], nil
}

// growth prints how throughput grows.
func (r *rig) growth(ctx context.Context) error {
	fmt.Println("| partitions | processes | events/s | most memory, MiB |\n| --- | --- | --- | --- |")
	for _, processes := range []int{1, 2} {
		for _, partitions := range []int{1, 2, 4, 16} {
			if processes > partitions {
				continue
			}
			got, err := r.throughput(ctx, partitions, processes, r.events)
			if err != nil {
				return err
			}
			fmt.Printf("| %d | %d | %.0f | %.0f |\n", partitions, processes, got.rate, got.most)
		}
	}
	return nil
}
