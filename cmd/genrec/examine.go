package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"genrec/inference"
	"genrec/inference/versions"
	"genrec/pkg/registry"
	"genrec/sessions"
)

func examineRedis(ctx context.Context, cmd *cli.Command) []finding {
	const subject = "Redis"
	if cmd.String("redis") == "" {
		return []finding{healthy(subject, "not examined: no --redis")}
	}
	client, err := redisClient(cmd, cmd.String("redis"))
	if err != nil {
		return []finding{ill(subject, err, "")}
	}
	defer client.Close()
	if _, err := sessions.Open(ctx, client, storeOptions(cmd)); err != nil {
		return []finding{ill(subject, err, "let a Redis 6.2 or newer run there, and let this user in")}
	}
	all := []finding{healthy(subject, "allows all that genrec does")}
	all = append(all, examineKeeping(ctx, client)...)
	return append(all, examineClock(ctx, client))
}

// examineKeeping looks whether Redis keeps what it is given. Some servers do not tell.
func examineKeeping(ctx context.Context, client redis.UniversalClient) (all []finding) {
	const subject = "Redis"
	told := make(map[string]string)
	for _, section := range []string{"memory", "persistence"} {
		text, err := client.Info(ctx, section).Result()
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ":")
			told[name] = value
		}
	}
	if policy := told["maxmemory_policy"]; strings.HasPrefix(policy, "allkeys") || strings.HasPrefix(policy, "volatile") {
		all = append(all, ill(subject, fmt.Errorf("maxmemory-policy is %s: at its limit it drops sequences", policy), "set maxmemory-policy noeviction"))
	}
	if told["aof_enabled"] == "0" {
		all = append(all, ill(subject, errors.New("appendonly is off: a crash loses what was acknowledged"), "set appendonly yes"))
	}
	return all
}

// mostSkew between clocks: events from the future are refused, and erasures hold up to a time.
const mostSkew = 2 * time.Second

func examineClock(ctx context.Context, client redis.UniversalClient) finding {
	const subject = "clock"
	asked := time.Now()
	there, err := client.Time(ctx).Result()
	if err != nil {
		return ill(subject, fmt.Errorf("ask Redis for the time: %w", err), "")
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

func examineModels(ctx context.Context, cmd *cli.Command) (all []finding) {
	const subject = "model"
	device, ranker, err := rankerSettings(cmd)
	if err != nil {
		return []finding{ill(subject, err, "")}
	}
	models, err := existingRegistry(ctx, cmd)
	none := healthy(subject, "none in %s yet: genrec retrain makes the first one", shown("models", cmd.String("models")))
	if errors.Is(err, errNoFolder) {
		return []finding{none}
	}
	if err != nil {
		return []finding{ill(subject, err, "")}
	}
	shares, err := models.Serving(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return []finding{none}
	}
	if err != nil {
		return []finding{ill(subject, err, "genrec models promote VERSION chooses one that serves")}
	}
	for _, share := range shares {
		text, err := tryModel(ctx, &versions.Versions{Registry: models, Device: device, Ranker: ranker}, share.Version)
		if err != nil {
			all = append(all, ill(subject, err, "genrec models rollback serves what was served before"))
			continue
		}
		all = append(all, healthy(subject, "%s serves %d %% of the users, %s", share.Version, share.Percent, text))
	}
	return all
}

// tryModel loads a version, with its checksums compared, and asks it once.
func tryModel(ctx context.Context, all *versions.Versions, version string) (string, error) {
	start := time.Now()
	generator, err := all.Load(ctx, version)
	if err != nil {
		return "", err
	}
	loaded := time.Since(start)
	generated, err := generator.Generate(ctx, []inference.Request{{User: "doctor"}})
	if err == nil && len(generated.Lists[0]) == 0 {
		err = fmt.Errorf("model %q recommends nothing", version)
	}
	if err := errors.Join(err, generator.Close()); err != nil {
		return "", err
	}
	return fmt.Sprintf("is whole, loads in %v and recommends %d items", loaded.Round(time.Millisecond), len(generated.Lists[0])), nil
}
