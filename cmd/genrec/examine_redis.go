package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"genrec/pkg/redisconn"
	"genrec/sessions"
)

func examineRedis(ctx context.Context, cmd *cli.Command) []finding {
	const subject = "Redis"
	if cmd.String("redis") == "" {
		return []finding{healthy(subject, "not examined: no --redis")}
	}
	options, err := redisConfig(cmd, cmd.String("redis"))
	if err != nil {
		return []finding{ill(subject, err, "")}
	}
	client, err := redisconn.Connect(ctx, options)
	if err != nil {
		return []finding{refusedByRedis(err)}
	}
	defer client.Close()
	store, err := sessions.Open(ctx, client, storeOptions(cmd))
	if err == nil {
		err = store.Probe(ctx)
	}
	var all []finding
	if err != nil {
		all = append(all, refusedByRedis(err))
	}
	masters, listed := redisconn.Masters(ctx, client)
	if listed != nil {
		return append(all, refusedByRedis(listed))
	}
	if err == nil {
		all = append(all, healthy(subject, "%s allows all that genrec does", kindOf(client, len(masters))))
		if !store.Transactions() {
			all = append(all, finding{Subject: subject, OK: true, Text: "refuses transactions: writing takes it twice the CPU time", Remedy: "permit transactions to this user (+@transaction)"})
		}
	}
	for _, master := range masters {
		all = append(all, examineKeeping(ctx, master)...)
	}
	return append(all, examineClock(ctx, client))
}

// kindOf says what a client is connected to.
func kindOf(client redis.UniversalClient, masters int) string {
	if _, is := client.(*redis.ClusterClient); is {
		return fmt.Sprintf("a Redis Cluster (masters: %d)", masters)
	}
	return "one Redis"
}

func refusedByRedis(err error) finding {
	remedy := redisconn.Remedy(err)
	f := ill("Redis", err, cmp.Or(remedy, "let a Redis 6.2 or newer run there, and let this user in"))
	f.Text = strings.TrimSuffix(f.Text, ": "+remedy)
	return f
}

// mostUsed is the part of maxmemory above which an operator should act.
const mostUsed = 0.9

// examineKeeping looks whether a Redis keeps what it is given, by what INFO says.
func examineKeeping(ctx context.Context, client *redis.Client) (all []finding) {
	const subject = "Redis"
	told := make(map[string]string)
	var refused error
	for _, section := range []string{"memory", "persistence", "replication"} {
		text, err := client.Info(ctx, section).Result()
		if err != nil {
			refused = err
		}
		for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ":")
			told[name] = value
		}
	}
	at := client.Options().Addr
	wrong := func(remedy, format string, args ...any) {
		all = append(all, ill(subject, fmt.Errorf(at+": "+format, args...), remedy))
	}
	if policy := told["maxmemory_policy"]; strings.HasPrefix(policy, "allkeys") || strings.HasPrefix(policy, "volatile") {
		wrong("set maxmemory-policy noeviction", "maxmemory-policy is %s: at its limit it drops sequences", policy)
	}
	if told["aof_enabled"] == "0" {
		wrong("set appendonly yes", "appendonly is off: a crash loses what was acknowledged")
	}
	used, _ := strconv.ParseFloat(told["used_memory"], 64)
	if limit, _ := strconv.ParseFloat(told["maxmemory"], 64); limit > 0 && used > mostUsed*limit {
		wrong("raise maxmemory, or give it less to keep", "%.0f %% of maxmemory is used: at the limit, writes fail", 100*used/limit)
	}
	if told["role"] == "slave" {
		wrong("connect to the master", "it is a replica: it is only read, or loses what is written there")
	}
	var untold []string
	for _, f := range keepingFields {
		if _, is := told[f.name]; !is {
			untold = append(untold, f.tells)
		}
	}
	if len(untold) > 0 {
		why := "INFO leaves it out"
		if refused != nil {
			why = refused.Error()
		}
		all = append(all, unchecked(subject, fmt.Sprintf("%s: not checked: %s: %s", at, strings.Join(untold, ", "), why),
			"permit INFO to this user (+info), or look at the server's own settings"))
	}
	return all
}

// keepingFields are those of INFO that examineKeeping looks at.
var keepingFields = []struct{ name, tells string }{
	{"maxmemory_policy", "whether it evicts keys (maxmemory-policy)"},
	{"aof_enabled", "whether a crash loses writes (appendonly)"},
	{"used_memory", "how much of its memory is used"},
	{"role", "whether it is a replica"},
}

// examineShared looks whether Redis has what infer writes for all users, near with similar items.
// What is wrong with Redis itself has been said before.
func examineShared(ctx context.Context, cmd *cli.Command, near bool) []finding {
	const subject = "Redis"
	client, err := connectRedis(ctx, cmd)
	if err != nil {
		return nil
	}
	defer client.Close()
	store, err := sessions.Open(ctx, client, storeOptions(cmd))
	if err != nil {
		return nil
	}
	found, err := store.Shared(ctx)
	if err != nil {
		return []finding{refusedByRedis(err)}
	}
	if missing := store.Missing(found, near); len(missing) > 0 {
		return []finding{ill(subject, fmt.Errorf("it lacks what infer writes for all users: %s", strings.Join(missing, ", ")),
			"start infer, which writes them within seconds of its start and of a loss")}
	}
	return []finding{healthy(subject, "has what infer writes for all users")}
}

// mostSkew between clocks: events from the future are refused, and erasures hold up to a time.
const mostSkew = 2 * time.Second

func examineClock(ctx context.Context, client redis.UniversalClient) finding {
	const subject = "clock"
	asked := time.Now()
	there, err := client.Time(ctx).Result()
	if redis.IsPermissionError(err) {
		return unchecked(subject, fmt.Sprintf("not compared with that of Redis: %v", err), "permit TIME to this user (+time)")
	}
	if err != nil {
		return ill(subject, fmt.Errorf("ask Redis for the time: %w", err), cmp.Or(redisconn.Remedy(err), "let Redis answer TIME"))
	}
	skew := there.Sub(asked.Add(time.Since(asked) / 2)).Round(time.Millisecond)
	if skew.Abs() > mostSkew {
		side := "ahead of"
		if skew < 0 {
			side = "behind"
		}
		return ill(subject, fmt.Errorf("that of Redis is %v %s this machine's", skew.Abs().Round(time.Second), side), "let both follow a time server")
	}
	return healthy(subject, "within %v of that of Redis", max(skew.Abs(), time.Millisecond))
}
