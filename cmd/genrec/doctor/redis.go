package doctor

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/redisconn"
	"genrec/sessions"
)

const redisSubject = "Redis"

// Redis checks that a Redis, or a Redis Cluster, allows what the services do, that it keeps
// what is written, and that its clock agrees with this machine's.
type Redis struct {
	Options *redis.UniversalOptions // where it is
	Store   sessions.Options        // prefix and limits of the sessions
}

// Check is the Check.
func (r Redis) Check(ctx context.Context) []Finding {
	client, err := redisconn.Connect(ctx, r.Options)
	if err != nil {
		return []Finding{redisFailed(err)}
	}
	defer client.Close()
	store, err := sessions.Open(ctx, client, r.Store)
	if err == nil {
		err = store.Probe(ctx)
	}
	var all []Finding
	if err != nil {
		all = append(all, redisFailed(err))
	}
	masters, mastersErr := redisconn.Masters(ctx, client)
	if mastersErr != nil {
		return append(all, redisFailed(mastersErr))
	}
	if err == nil {
		all = append(all, ok(redisSubject, "%s allows everything that genrec does", deployment(client, len(masters))))
		if !store.Transactions() {
			all = append(all, Finding{
				Subject: redisSubject, OK: true, Text: "transactions are not permitted: writes take twice the CPU time",
				Hint: "permit transactions to this user (+@transaction)",
			})
		}
	}
	for _, master := range masters {
		all = append(all, checkDurability(ctx, master)...)
	}
	return append(all, checkClock(ctx, client))
}

// deployment describes what a client is connected to.
func deployment(client redis.UniversalClient, masters int) string {
	if _, is := client.(*redis.ClusterClient); is {
		return fmt.Sprintf("a Redis Cluster (masters: %d)", masters)
	}
	return "a single Redis"
}

func redisFailed(err error) Finding {
	hint := redisconn.Hint(err)
	f := failed(redisSubject, err, cmp.Or(hint, "run Redis 6.2 or newer at that address, and permit access to this user"))
	f.Text = strings.TrimSuffix(f.Text, ": "+hint)
	return f
}

// maxMemoryUsed is the share of maxmemory above which an operator should act.
const maxMemoryUsed = 0.9

// checkDurability checks, by INFO, that a Redis server keeps what is written: no eviction, an
// append-only file, free memory, and not a replica.
func checkDurability(ctx context.Context, client *redis.Client) (all []Finding) {
	info := make(map[string]string)
	var infoErr error
	for _, section := range []string{"memory", "persistence", "replication"} {
		text, err := client.Info(ctx, section).Result()
		if err != nil {
			infoErr = err
		}
		for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ":")
			info[name] = value
		}
	}
	address := client.Options().Addr
	fail := func(hint, format string, args ...any) {
		all = append(all, failed(redisSubject, fmt.Errorf(address+": "+format, args...), hint))
	}
	if policy := info["maxmemory_policy"]; strings.HasPrefix(policy, "allkeys") || strings.HasPrefix(policy, "volatile") {
		fail("set maxmemory-policy noeviction", "maxmemory-policy is %s: at its memory limit Redis evicts user sequences", policy)
	}
	if info["aof_enabled"] == "0" {
		fail("set appendonly yes", "appendonly is off: a crash loses acknowledged writes")
	}
	used, _ := strconv.ParseFloat(info["used_memory"], 64)
	if limit, _ := strconv.ParseFloat(info["maxmemory"], 64); limit > 0 && used > maxMemoryUsed*limit {
		fail("raise maxmemory, or store less", "%.0f %% of maxmemory is used: at the limit, writes fail", 100*used/limit)
	}
	if info["role"] == "slave" {
		fail("connect to the master", "it is a replica: writes are refused or lost")
	}
	var missing []string
	for _, field := range durabilityFields {
		if _, found := info[field.name]; !found {
			missing = append(missing, field.meaning)
		}
	}
	if len(missing) > 0 {
		why := "INFO does not report it"
		if infoErr != nil {
			why = infoErr.Error()
		}
		all = append(all, unchecked(redisSubject, fmt.Sprintf("%s: not checked: %s: %s", address, strings.Join(missing, ", "), why),
			"permit INFO to this user (+info), or check the server's configuration"))
	}
	return all
}

// durabilityFields are the fields of INFO that checkDurability reads.
var durabilityFields = []struct{ name, meaning string }{
	{"maxmemory_policy", "eviction of keys (maxmemory-policy)"},
	{"aof_enabled", "loss of writes in a crash (appendonly)"},
	{"used_memory", "memory use"},
	{"role", "replica or master"},
}

// checkSharedKeys checks that Redis has the keys that infer writes for all users, with similar
// items if the model has some. Problems of Redis itself are found by Check.
func (r Redis) checkSharedKeys(ctx context.Context, similarItems bool) []Finding {
	client, err := redisconn.Connect(ctx, r.Options)
	if err != nil {
		return nil
	}
	defer client.Close()
	store, err := sessions.Open(ctx, client, r.Store)
	if err != nil {
		return nil
	}
	found, err := store.SharedKeys(ctx)
	if err != nil {
		return []Finding{redisFailed(err)}
	}
	if missing := store.MissingKeys(found, similarItems); len(missing) > 0 {
		return []Finding{failed(redisSubject, fmt.Errorf("keys that infer writes for all users are missing: %s", strings.Join(missing, ", ")),
			"start infer: it writes them within seconds, at its start and after a loss")}
	}
	return []Finding{ok(redisSubject, "has the keys that infer writes for all users")}
}

// maxClockSkew is tolerated between this machine and Redis: events from the future are
// rejected, and an erasure applies to events up to a time.
const maxClockSkew = 2 * time.Second

func checkClock(ctx context.Context, client redis.UniversalClient) Finding {
	const subject = "clock"
	sent := time.Now()
	theirs, err := client.Time(ctx).Result()
	if redis.IsPermissionError(err) {
		return unchecked(subject, fmt.Sprintf("not compared with the clock of Redis: %v", err), "permit TIME to this user (+time)")
	}
	if err != nil {
		return failed(subject, fmt.Errorf("ask Redis for the time: %w", err), cmp.Or(redisconn.Hint(err), "check why Redis does not answer TIME"))
	}
	skew := theirs.Sub(sent.Add(time.Since(sent) / 2)).Round(time.Millisecond)
	if skew.Abs() > maxClockSkew {
		side := "ahead of"
		if skew < 0 {
			side = "behind"
		}
		return failed(subject, fmt.Errorf("the clock of Redis is %v %s this machine's", skew.Abs().Round(time.Second), side), "synchronize both with a time server (NTP)")
	}
	return ok(subject, "within %v of the clock of Redis", max(skew.Abs(), time.Millisecond))
}
