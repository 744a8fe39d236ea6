package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/redisconn"
	"genrec/sessions"
)

// redisConfig returns how to connect to the Redis or Redis Cluster at an address.
func redisConfig(cmd *cli.Command, address string) (*redis.UniversalOptions, error) {
	options, err := redisOptions(address)
	credentials, invalid := readCredentials(cmd, "redis")
	if err := settings.Join(settings.Invalid(cmd, err, "redis"), invalid); err != nil {
		return nil, err
	}
	options.TLSConfig = cmp.Or(credentials.tls, options.TLSConfig)
	options.Username, options.Password = cmp.Or(credentials.user, options.Username), credentials.password
	options.ContextTimeoutEnabled = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return options, nil
}

// storeOptions are the session options that the flags set.
func storeOptions(cmd *cli.Command) sessions.Options {
	return sessions.Options{
		Prefix: cmd.String("prefix"), Window: cmd.Int("window"),
		SequenceTTL: cmd.Duration("sequence-ttl"), RecommendationsTTL: cmd.Duration("ttl"),
	}
}

// connectRedis connects to --redis without waiting for it.
func connectRedis(ctx context.Context, cmd *cli.Command) (redis.UniversalClient, error) {
	options, err := redisConfig(cmd, cmd.String("redis"))
	if err != nil {
		return nil, err
	}
	client, err := redisconn.Connect(ctx, options)
	return client, sessions.WithHint(err)
}

// redisOptions parses HOST:PORT,HOST:PORT or a URL. Its errors do not quote the address, which
// may contain a password.
func redisOptions(address string) (*redis.UniversalOptions, error) {
	address = strings.TrimSpace(address)
	scheme, nodes, isURL := strings.Cut(address, "://")
	if !isURL {
		all := strings.Split(address, ",")
		for i := range all {
			all[i] = strings.TrimSpace(all[i])
		}
		return &redis.UniversalOptions{Addrs: all}, nil
	}
	if strings.Contains(nodes, ",") {
		return nil, errors.New("a URL names a single Redis: give several nodes of a Redis Cluster as HOST:PORT,HOST:PORT, with --redis-tls for TLS")
	}
	if u, err := url.Parse(address); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return nil, errors.New("the URL contains a password, which others could read: use GENREC_REDIS_PASSWORD or --redis-password-file")
		}
	}
	parsed, err := redis.ParseURL(address)
	if err != nil {
		return nil, errors.New("neither HOST:PORT nor a redis:// or rediss:// URL")
	}
	options := &redis.UniversalOptions{Addrs: []string{parsed.Addr}, DB: parsed.DB, Username: parsed.Username}
	if scheme == "rediss" {
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return options, nil
}
