// Package memory measures the memory of a real Redis per event, including all keys, and the rate of
// appends. Its last line is
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
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/testservers"
	"genrec/sessions"
)

type settings struct {
	users   int
	events  int // per user
	idBytes int // length of event IDs
	atOnce  int // events per user and append
	appends int // to measure
	batch   int // users per call
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.IntVar(&s.users, "users", 1_000_000, "users")
	flags.IntVar(&s.events, "events", 20, "events per user")
	flags.IntVar(&s.idBytes, "id-bytes", 36, "length of event IDs: 36 for UUIDs, or at most 32")
	flags.IntVar(&s.atOnce, "at-once", 10, "events per user and append")
	flags.IntVar(&s.appends, "appends", 200_000, "appends to measure")
	flags.IntVar(&s.batch, "batch", 500, "users per batch")
	return func(ctx context.Context) error { return run(ctx, s) }
}

func run(ctx context.Context, s settings) error {
	folder, err := os.MkdirTemp("", "genrec-bench-memory-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	socket := filepath.Join(folder, "redis.sock")
	server, err := testservers.StartRedis(ctx, testservers.RedisConfig{Folder: folder, Lines: []string{"appendonly no", "unixsocket " + socket}})
	if err != nil {
		return err
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, ContextTimeoutEnabled: true, ReadTimeout: time.Minute})
	defer rdb.Close()
	store, err := sessions.Open(ctx, rdb, sessions.Options{SequenceTTL: sessions.DefaultSequenceTTL})
	if err != nil {
		return err
	}
	b := &bench{settings: s, store: store, rdb: rdb, random: rand.New(rand.NewPCG(1, 2))}
	empty, err := b.info(ctx, "memory", "used_memory")
	if err != nil {
		return err
	}
	for done := 0; done < s.events; done += s.atOnce {
		if err := b.fill(ctx, s.users, min(s.atOnce, s.events-done)); err != nil {
			return err
		}
		fmt.Printf("%d of %d events per user\n", min(done+s.atOnce, s.events), s.events)
	}
	full, err := b.info(ctx, "memory", "used_memory")
	if err != nil {
		return err
	}

	before, err := b.info(ctx, "cpu", "used_cpu_user_main_thread")
	if err != nil {
		return err
	}
	began, n := time.Now(), min(s.appends, s.users)
	if err := b.fill(ctx, n, 1); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := b.info(ctx, "cpu", "used_cpu_user_main_thread")
	if err != nil {
		return err
	}
	total := s.users * s.events
	fmt.Printf("memory users=%d events=%d id_bytes=%d bytes=%.0f bytes_per_event=%.1f appends_per_s=%.0f redis_us_per_append=%.1f\n",
		s.users, total, s.idBytes, full-empty, (full-empty)/float64(total), float64(n)/took.Seconds(), (after-before)/float64(n)*1e6)
	return nil
}

type bench struct {
	settings
	store  *sessions.Store
	rdb    *redis.Client
	random *rand.Rand
	hours  int64
}

// fill appends events to each of the first users, one per hour.
func (b *bench) fill(ctx context.Context, users, each int) error {
	for first := 0; first < users; first += b.batch {
		batch := make([]sessions.UserEvents, min(b.batch, users-first))
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
	if b.idBytes < 36 {
		return id[:min(b.idBytes, len(id))]
	}
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// info returns a number from the INFO command.
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
	return 0, fmt.Errorf("redis INFO has no %s", name)
}
