// Package memory measures the memory that users take in a real Redis, all keys included, and the
// rate of appends. Its last line is
//
//	memory users=… events=… bytes_per_event=… …
package memory

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/sessions"
)

// Flags.
var (
	users     int
	events    int
	idBytes   int
	atOnce    int
	appends   int
	timeBatch int
)

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	flags.IntVar(&users, "users", 1_000_000, "users")
	flags.IntVar(&events, "events", 20, "events of each")
	flags.IntVar(&idBytes, "id-bytes", 36, "length of event ids: 36 for UUIDs, or up to 32")
	flags.IntVar(&atOnce, "at-once", 10, "events of a user that arrive together")
	flags.IntVar(&appends, "appends", 200_000, "appends that are timed")
	flags.IntVar(&timeBatch, "batch", 500, "users in a batch")
	return run
}

func run(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "genrec-bench-memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	rdb, stop, err := startRedis(ctx, folder)
	if err != nil {
		return err
	}
	defer stop()
	store, err := sessions.Open(ctx, rdb, sessions.Options{SequenceTTL: sessions.DefaultSequenceTTL})
	if err != nil {
		return err
	}
	b := &bench{store: store, rdb: rdb, random: rand.New(rand.NewPCG(1, 2))}
	empty, err := b.info(ctx, "memory", "used_memory")
	if err != nil {
		return err
	}
	for done := 0; done < events; done += atOnce {
		if err := b.fill(ctx, users, min(atOnce, events-done)); err != nil {
			return err
		}
		fmt.Printf("%d of %d events a user\n", min(done+atOnce, events), events)
	}
	full, err := b.info(ctx, "memory", "used_memory")
	if err != nil {
		return err
	}

	before, err := b.info(ctx, "cpu", "used_cpu_user_main_thread")
	if err != nil {
		return err
	}
	began, n := time.Now(), min(appends, users)
	if err := b.fill(ctx, n, 1); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := b.info(ctx, "cpu", "used_cpu_user_main_thread")
	if err != nil {
		return err
	}
	total := users * events
	fmt.Printf("memory users=%d events=%d id_bytes=%d bytes=%.0f bytes_per_event=%.1f appends_per_s=%.0f redis_us_per_append=%.1f\n",
		users, total, idBytes, full-empty, (full-empty)/float64(total), float64(n)/took.Seconds(), (after-before)/float64(n)*1e6)
	return nil
}

type bench struct {
	store  *sessions.Store
	rdb    *redis.Client
	random *rand.Rand
	hours  int64
}

// fill appends so many events to each of the first users, an hour later than the last.
func (b *bench) fill(ctx context.Context, users, each int) error {
	for first := 0; first < users; first += timeBatch {
		batch := make([]sessions.UserEvents, min(timeBatch, users-first))
		for i := range batch {
			batch[i].User = fmt.Sprintf("user-%07d", first+i)
			for k := range each {
				batch[i].Events = append(batch[i].Events, event.Event{
					ID: b.eventID(), Item: fmt.Sprintf("B%09d", b.random.IntN(100_000)), Type: event.DefaultType,
					Time: time.UnixMilli(1_700_000_000_000 + (b.hours+int64(k))*time.Hour.Milliseconds() + int64(i)),
				})
			}
		}
		if _, err := b.store.Append(ctx, batch); err != nil {
			return err
		}
	}
	b.hours += int64(each)
	return nil
}

func (b *bench) eventID() string {
	var bytes [16]byte
	for i := range bytes {
		bytes[i] = byte(b.random.IntN(256))
	}
	id := hex.EncodeToString(bytes[:])
	if idBytes < 36 {
		return id[:min(idBytes, len(id))]
	}
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// info returns a number that Redis tells of itself.
func (b *bench) info(ctx context.Context, section, name string) (float64, error) {
	text, err := b.rdb.Info(ctx, section).Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+":"); found {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("redis does not tell %s", name)
}

// startRedis starts a Redis of its own that keeps nothing on disk.
func startRedis(ctx context.Context, folder string) (*redis.Client, func(), error) {
	socket := filepath.Join(folder, "redis.sock")
	server := exec.CommandContext(ctx, "redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder)
	if err := server.Start(); err != nil {
		return nil, nil, fmt.Errorf("%w: install it, for instance with: apt install redis-server", err)
	}
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, ContextTimeoutEnabled: true, ReadTimeout: time.Minute})
	stop := func() {
		_ = rdb.Close()
		_ = server.Process.Kill()
		_ = server.Wait()
	}
	const patience = 10 * time.Second
	for began := time.Now(); rdb.Ping(ctx).Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience || ctx.Err() != nil {
			stop()
			return nil, nil, fmt.Errorf("redis-server does not answer within %v", patience)
		}
	}
	return rdb, stop, nil
}
