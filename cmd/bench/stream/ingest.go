package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// measureIngest compares ingest with Redis alone and prints the last line
//
//	stream events_per_s=… redis_ceiling=… ratio=…
func measureIngest(ctx context.Context, s settings, folder string) error {
	r, err := startServers(ctx, s, folder)
	defer r.close()
	if err != nil {
		return err
	}
	median, err := r.measureIngestRounds(ctx)
	if err != nil {
		return err
	}
	if s.curve {
		if err := r.printScaling(ctx); err != nil {
			return err
		}
	}
	if s.backlog > 0 {
		result, err := r.throughput(ctx, s.partitions, 1, s.backlog)
		if err != nil {
			return err
		}
		fmt.Println("backlog:", result)
	}
	fmt.Printf("stream events_per_s=%.0f redis_ceiling=%.0f ratio=%.2f\n", median.rate, median.ceiling, median.ratio())
	return nil
}

// round is one measurement of ingest and of Redis alone.
type round struct{ rate, ceiling float64 }

func (r round) ratio() float64 { return r.rate / r.ceiling }

// measureIngestRounds returns the round with the median ratio. The first backlog warms up the JIT compiler of
// Kafka.
func (r *environment) measureIngestRounds(ctx context.Context) (round, error) {
	first, err := r.throughput(ctx, r.partitions, 1, r.events)
	if err != nil {
		return round{}, err
	}
	fmt.Println("warm-up:", first)
	rounds := make([]round, r.rounds)
	for i := range rounds {
		if rounds[i].ceiling, err = r.ceiling(ctx); err != nil {
			return round{}, err
		}
		ingested, err := r.throughput(ctx, r.partitions, 1, r.events)
		if err != nil {
			return round{}, err
		}
		rounds[i].rate = ingested.rate
		fmt.Printf("round %d: Redis alone %.0f events/s with %d connections that replay commands; %v; ratio %.2f\n",
			i+1, rounds[i].ceiling, ceilingConnections, ingested, rounds[i].ratio())
	}
	slices.SortFunc(rounds, func(a, b round) int { return cmp.Compare(a.ratio(), b.ratio()) })
	return rounds[len(rounds)/2], nil
}

// printScaling prints the throughput with several numbers of partitions and processes.
func (r *environment) printScaling(ctx context.Context) error {
	fmt.Println("| partitions | processes | events/s | peak memory, MiB |\n| --- | --- | --- | --- |")
	for _, processes := range []int{1, 2} {
		for _, partitions := range []int{1, 2, 4, 16} {
			if processes > partitions {
				continue
			}
			got, err := r.throughput(ctx, partitions, processes, r.events)
			if err != nil {
				return err
			}
			fmt.Printf("| %d | %d | %.0f | %.0f |\n", partitions, processes, got.rate, got.maxMiB)
		}
	}
	return nil
}
