// Package serve sends requests to "genrec serve" at a fixed rate, with vegeta and a real Redis, whose
// users have 20 events and 20 recommendations each. Its last line is
//
//	serve rps=… p50_ms=… p99_ms=… errors=…
package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"genrec/pkg/testservers"
	"genrec/test/harness"
)

type settings struct {
	genrec, vegeta   string // programs
	users, items     int
	rate             int // requests per second
	duration, warmUp time.Duration
	filters          bool
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.genrec, "genrec", "bin/genrec", "genrec `BINARY`")
	flags.StringVar(&s.vegeta, "vegeta", "vegeta", "load generator `PROGRAM`, github.com/tsenart/vegeta")
	flags.IntVar(&s.users, "users", 50_000, "users with recommendations; a tenth as many are unknown")
	flags.IntVar(&s.items, "items", 12_000, "items in the catalog")
	flags.IntVar(&s.rate, "rate", 5_000, "requests per second")
	flags.DurationVar(&s.duration, "duration", 30*time.Second, "duration of the measurement, after the warm-up")
	flags.DurationVar(&s.warmUp, "warm-up", 10*time.Second, "duration of the warm-up")
	flags.BoolVar(&s.filters, "filters", true, "send every other request with exclude_seen=true and diversity=3")
	return func(ctx context.Context) error { return run(ctx, s) }
}

func run(ctx context.Context, s settings) error {
	folder, err := os.MkdirTemp("", "genrec-bench-serve-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	redis, err := testservers.StartRedis(ctx, testservers.RedisConfig{Folder: folder})
	if err != nil {
		return err
	}
	defer redis.Close()
	if err := s.fill(ctx, redis.Address()); err != nil {
		return fmt.Errorf("fill Redis: %w", err)
	}
	fmt.Printf("%d users have 20 events and 20 of %d items\n", s.users, s.items)

	const address = "127.0.0.1:18080"
	server, err := harness.Start(nil, os.Stderr, s.genrec, "serve", "--redis", redis.Address(), "--listen", address)
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	if err := harness.AwaitReady(ctx, server, "http://"+address+"/readyz", 30*time.Second); err != nil {
		return err
	}
	// The latency of the load generator and HTTP alone.
	idle := filepath.Join(folder, "idle")
	if err := os.WriteFile(idle, []byte("GET http://"+address+"/healthz\n"), 0o600); err != nil {
		return err
	}
	least, err := s.attack(ctx, idle, s.warmUp)
	if err != nil {
		return fmt.Errorf("request /healthz: %w", err)
	}
	targets := filepath.Join(folder, "targets")
	if err := os.WriteFile(targets, s.targets("http://"+address), 0o600); err != nil {
		return err
	}
	if _, err := s.attack(ctx, targets, s.warmUp); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	before, err := cpuTimes(server.ID(), redis.Process())
	if err != nil {
		return err
	}
	r, err := s.attack(ctx, targets, s.duration)
	if err != nil {
		return err
	}
	after, err := cpuTimes(server.ID(), redis.Process())
	if err != nil {
		return err
	}
	if err := server.Stop(); err != nil {
		return fmt.Errorf("stop genrec serve: %w", err)
	}
	each := func(t time.Duration) float64 { return float64(t.Microseconds()) / float64(r.Requests) }
	fmt.Printf("%d requests, p95 %.2f ms, longest %.2f ms; CPU time per request: %.0f µs in genrec, %.0f in Redis, %.0f in vegeta\n",
		r.Requests, ms(r.Latencies.P95), ms(r.Latencies.Max), each(after[0]-before[0]), each(after[1]-before[1]), each(r.took))
	fmt.Printf("/healthz, without Redis, at the same rate: p50 %.2f ms, p99 %.2f ms\n", ms(least.Latencies.P50), ms(least.Latencies.P99))
	for _, message := range r.Errors {
		fmt.Println("error:", message)
	}
	fmt.Printf("serve rps=%.0f p50_ms=%.2f p99_ms=%.2f errors=%d\n", r.Throughput, ms(r.Latencies.P50), ms(r.Latencies.P99), r.Requests-r.StatusCodes["200"])
	return nil
}

// targets returns the requests in the format of vegeta: one for each user, and one for an unknown user
// after every tenth.
func (s settings) targets(base string) []byte {
	var text bytes.Buffer
	for i := range s.users {
		query := ""
		if s.filters && i%2 == 1 {
			query = "?exclude_seen=true&diversity=3"
		}
		fmt.Fprintf(&text, "GET %s/v1/users/%s/recommendations%s\n\n", base, userID(i), query)
		if i%10 == 9 {
			fmt.Fprintf(&text, "GET %s/v1/users/stranger-%d/recommendations\n\n", base, i)
		}
	}
	return text.Bytes()
}

// report is the JSON output of vegeta report; times are in nanoseconds.
type report struct {
	Latencies struct {
		P50 time.Duration `json:"50th"`
		P95 time.Duration `json:"95th"`
		P99 time.Duration `json:"99th"`
		Max time.Duration `json:"max"`
	} `json:"latencies"`
	Requests    int            `json:"requests"`
	Throughput  float64        `json:"throughput"`
	StatusCodes map[string]int `json:"status_codes"`
	Errors      []string       `json:"errors"`

	took time.Duration // CPU time of vegeta
}

// attack sends requests at the configured rate.
func (s settings) attack(ctx context.Context, targets string, d time.Duration) (r report, err error) {
	results := targets + ".results"
	took, err := s.runVegeta(ctx, io.Discard, "attack", "-targets", targets, "-rate", strconv.Itoa(s.rate), "-duration", d.String(),
		"-max-body", "0", "-output", results)
	if err != nil {
		return r, err
	}
	r.took = took
	var out bytes.Buffer
	if _, err := s.runVegeta(ctx, &out, "report", "-type", "json", results); err != nil {
		return r, err
	}
	err = json.Unmarshal(out.Bytes(), &r)
	return r, err
}

// runVegeta runs vegeta and returns its CPU time.
func (s settings) runVegeta(ctx context.Context, out io.Writer, arguments ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, s.vegeta, arguments...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("vegeta %s: %w", arguments[0], err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// cpuTimes returns the CPU time of each process.
func cpuTimes(ids ...int) ([]time.Duration, error) {
	times := make([]time.Duration, len(ids))
	for i, id := range ids {
		var err error
		if times[i], err = harness.CPUTime(id); err != nil {
			return nil, err
		}
	}
	return times, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
