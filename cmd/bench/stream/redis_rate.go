package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const replayDepth = 2 // pipelines in flight on a connection

// redisRate returns the users per second that Redis alone serves, each with one append by ingest and one read
// and one write by infer, when connections only replay recorded commands.
func (r *environment) redisRate(ctx context.Context, b *initialState) (float64, error) {
	recording, err := b.record(ctx)
	if err != nil {
		return 0, err
	}
	if err := b.restore(ctx); err != nil {
		return 0, err
	}
	usage := cpuUsage{names: slices.Clone(r.servers.names), ids: slices.Clone(r.servers.ids)}
	if err := usage.begin(); err != nil {
		return 0, err
	}
	var (
		all  time.Duration
		each string
	)
	for phase, nodes := range recording.pipelines {
		start := time.Now()
		if err := replay(ctx, nodes); err != nil {
			return 0, fmt.Errorf("replay the %s: %w", phaseNames[phase], err)
		}
		took := time.Since(start)
		all += took
		each += fmt.Sprintf(", %s %.0f/s", phaseNames[phase], float64(recording.users)/took.Seconds())
	}
	rate := float64(recording.users) / all.Seconds()
	fmt.Printf("Redis alone: %.0f users/s, each with an append, a read and a write%s", rate, each)
	if cores, err := usage.cores(); err != nil {
		return 0, err
	} else if busy := cores["Redis"]; busy > 0 {
		fmt.Printf("; CPU time of Redis per user: %.1f µs", 1e6*busy/rate)
	}
	fmt.Println()
	return rate, nil
}

// replay sends the pipelines of all nodes and connections in parallel.
func replay(ctx context.Context, nodes map[string][replayConnections][]pipeline) error {
	group, ctx := errgroup.WithContext(ctx)
	for node, connections := range nodes {
		for _, pipelines := range connections {
			if len(pipelines) > 0 {
				group.Go(func() error { return replayOn(ctx, node, pipelines) })
			}
		}
	}
	return group.Wait()
}

func replayOn(ctx context.Context, node string, pipelines []pipeline) (err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", node)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	inFlight, replied := make(chan struct{}, replayDepth), make(chan error, 1)
	go func() { replied <- readReplies(conn, pipelines, inFlight) }()
	for _, p := range pipelines {
		select {
		case err := <-replied:
			return err
		case inFlight <- struct{}{}:
		}
		if _, err := conn.Write(p.bytes); err != nil {
			return err
		}
	}
	return <-replied
}

func readReplies(conn net.Conn, pipelines []pipeline, inFlight <-chan struct{}) error {
	r := bufio.NewReaderSize(conn, 64<<10)
	for _, p := range pipelines {
		for range p.commands {
			if err := skipReply(r); err != nil {
				return err
			}
		}
		<-inFlight
	}
	return nil
}
