// Package serve sends requests to "genrec serve" at a fixed rate, by vegeta, with a real Redis whose
// users all have 20 events and a list of 20 items. Its last line is
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
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"genrec/pkg/testservers"
	"genrec/test/harness"
)

// Flags.
var (
	genrec   string
	vegeta   string
	users    int
	items    int
	perSec   int
	duration time.Duration
	warmUp   time.Duration
	filters  bool
)

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	flags.StringVar(&genrec, "genrec", "bin/genrec", "the program")
	flags.StringVar(&vegeta, "vegeta", "vegeta", "the load generator, github.com/tsenart/vegeta")
	flags.IntVar(&users, "users", 50_000, "users, and a tenth as many strangers")
	flags.IntVar(&items, "items", 12_000, "items in the catalog")
	flags.IntVar(&perSec, "rate", 5_000, "requests a second")
	flags.DurationVar(&duration, "duration", 30*time.Second, "for how long, after warming up")
	flags.DurationVar(&warmUp, "warm-up", 10*time.Second, "for how long")
	flags.BoolVar(&filters, "filters", true, "ask every second time without seen items and for 3 of a category")
	return run
}

func run(ctx context.Context) error {
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
	if err := fill(ctx, redis.Address()); err != nil {
		return fmt.Errorf("fill Redis: %w", err)
	}
	fmt.Printf("%d users have 20 events and 20 of %d items\n", users, items)

	const address = "127.0.0.1:18080"
	server, err := harness.Start(os.Stderr, genrec, "serve", "--redis", redis.Address(), "--listen", address)
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	if err := awaitReady(ctx, "http://"+address+"/readyz"); err != nil {
		return err
	}
	// What the generator and HTTP alone come to on this machine.
	idle := filepath.Join(folder, "idle")
	if err := os.WriteFile(idle, []byte("GET http://"+address+"/healthz\n"), 0o600); err != nil {
		return err
	}
	least, err := attack(ctx, idle, warmUp)
	if err != nil {
		return fmt.Errorf("ask for nothing: %w", err)
	}
	targets := filepath.Join(folder, "targets")
	if err := os.WriteFile(targets, questions("http://"+address), 0o600); err != nil {
		return err
	}
	if _, err := attack(ctx, targets, warmUp); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	before, err := timesOf(server.ID(), redis.Process())
	if err != nil {
		return err
	}
	r, err := attack(ctx, targets, duration)
	if err != nil {
		return err
	}
	after, err := timesOf(server.ID(), redis.Process())
	if err != nil {
		return err
	}
	if err := server.Stop(); err != nil {
		return fmt.Errorf("stop genrec serve: %w", err)
	}
	each := func(t time.Duration) float64 { return float64(t.Microseconds()) / float64(r.Requests) }
	fmt.Printf("%d requests, p95 %.2f ms, longest %.2f ms; processor time of each: %.0f µs in genrec, %.0f in Redis, %.0f in vegeta\n",
		r.Requests, ms(r.Latencies.P95), ms(r.Latencies.Max), each(after[0]-before[0]), each(after[1]-before[1]), each(r.took))
	fmt.Printf("/healthz, which reads nothing, at the same rate: p50 %.2f ms, p99 %.2f ms\n", ms(least.Latencies.P50), ms(least.Latencies.P99))
	for _, what := range r.Errors {
		fmt.Println("error:", what)
	}
	fmt.Printf("serve rps=%.0f p50_ms=%.2f p99_ms=%.2f errors=%d\n", r.Throughput, ms(r.Latencies.P50), ms(r.Latencies.P99), r.Requests-r.StatusCodes["200"])
	return nil
}

// awaitReady waits until the server answers 200.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for ; ; time.Sleep(20 * time.Millisecond) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("genrec serve is not ready within 30 s: %w", err)
		}
	}
}

// questions are targets as vegeta reads them: users by turns, and after each ten a stranger.
func questions(base string) []byte {
	var text bytes.Buffer
	for i := range users {
		query := ""
		if filters && i%2 == 1 {
			query = "?exclude_seen=true&diversity=3"
		}
		fmt.Fprintf(&text, "GET %s/v1/users/%s/recommendations%s\n\n", base, userID(i), query)
		if i%10 == 9 {
			fmt.Fprintf(&text, "GET %s/v1/users/stranger-%d/recommendations\n\n", base, i)
		}
	}
	return text.Bytes()
}

// report is what vegeta report says, times in nanoseconds.
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

	took time.Duration // of the generator's processor time
}

func attack(ctx context.Context, targets string, d time.Duration) (r report, err error) {
	results := targets + ".results"
	took, err := vegetaRun(ctx, io.Discard, "attack", "-targets", targets, "-rate", strconv.Itoa(perSec), "-duration", d.String(),
		"-max-body", "0", "-output", results)
	if err != nil {
		return r, err
	}
	r.took = took
	var out bytes.Buffer
	if _, err := vegetaRun(ctx, &out, "report", "-type", "json", results); err != nil {
		return r, err
	}
	err = json.Unmarshal(out.Bytes(), &r)
	return r, err
}

// vegetaRun returns the processor time that it took.
func vegetaRun(ctx context.Context, out io.Writer, arguments ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, vegeta, arguments...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("vegeta %s: %w", arguments[0], err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// timesOf is the processor time that each of the processes has taken.
func timesOf(ids ...int) ([]time.Duration, error) {
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
