package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"genrec/ingest"
	"genrec/pkg/backoff"
	"genrec/pkg/stream"
)

// worked is what became of a backlog.
type worked struct {
	events      int
	rate        float64 // events a second
	least, most float64 // resident memory of the largest process, MiB, after the first tenth
	processors  string  // time of each, µs an event
}

func (w worked) String() string {
	return fmt.Sprintf("%d events ingested at %.0f events/s; resident memory after the first tenth %.0f to %.0f MiB; µs of processor time an event: %s",
		w.events, w.rate, w.least, w.most, w.processors)
}

// throughput lets processes work off a backlog of events.
func (r *rig) throughput(ctx context.Context, partitions, processes, events int) (worked, error) {
	if err := r.emptyServers(ctx, partitions); err != nil {
		return worked{}, err
	}
	if err := r.produce(ctx, events); err != nil {
		return worked{}, err
	}
	var children []*child
	defer func() {
		for _, c := range children {
			c.stop()
		}
	}()
	times := processors{names: slices.Clone(r.servers.names), ids: slices.Clone(r.servers.ids)}
	for range processes {
		c, err := r.command("ingest")
		if err != nil {
			return worked{}, err
		}
		children = append(children, c)
		times.add("ingest", c.cmd.Process.Pid)
	}
	result := worked{events: events}
	var (
		start time.Time
		first int64 // lag when the time began
	)
	for {
		lag, err := r.lag(ctx)
		if err != nil {
			return worked{}, err
		}
		if start.IsZero() && lag < int64(events) {
			start, first = time.Now(), lag
			if err := times.begin(); err != nil {
				return worked{}, err
			}
		}
		if lag == 0 {
			result.rate = float64(first) / time.Since(start).Seconds()
			result.processors, err = times.used(first)
			return result, err
		}
		if !start.IsZero() && lag < int64(events)*9/10 {
			for _, c := range children {
				rss, err := c.resident()
				if err != nil {
					return worked{}, err
				}
				if result.least == 0 || rss < result.least {
					result.least = rss
				}
				result.most = max(result.most, rss)
			}
		}
		select {
		case <-ctx.Done():
			return worked{}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		for _, c := range children {
			if err := c.failed(); err != nil {
				return worked{}, err
			}
		}
	}
}

// lag is how many events ingest has left. A Kafka that has just started may not know yet
// who looks after a group.
func (r *rig) lag(ctx context.Context) (lag int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = backoff.Retry(ctx, slog.New(slog.DiscardHandler), "look up what is left", func() (err error) {
		lag, err = stream.Lag(ctx, r.cluster, ingest.DefaultGroup, stream.DefaultTopics().Interactions)
		return err
	})
	return lag, err
}

// child is a running genrec.
type child struct {
	cmd   *exec.Cmd
	ended chan error
}

func (r *rig) command(name string, args ...string) (*child, error) {
	args = append([]string{"--log-level", "error", name, "--kafka", r.kafka, "--redis", r.redis}, args...)
	cmd := exec.Command(r.genrec, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.genrec, err)
	}
	c := &child{cmd: cmd, ended: make(chan error, 1)}
	go func() { c.ended <- cmd.Wait() }()
	return c, nil
}

// failed says why it has ended.
func (c *child) failed() error {
	select {
	case err := <-c.ended:
		c.ended <- err
		return errors.Join(fmt.Errorf("%s ended", strings.Join(c.cmd.Args, " ")), err)
	default:
		return nil
	}
}

func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
	slog.Debug("genrec ended", "cause", <-c.ended)
}

// resident is the memory that it has, in MiB.
func (c *child) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("/proc names no resident memory")
}
