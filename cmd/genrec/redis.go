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

// redisConfig is how to reach the Redis or the Redis Cluster at address.
func redisConfig(cmd *cli.Command, address string) (*redis.UniversalOptions, error) {
	options, err := redisOptions(address)
	a, refused := readAccess(cmd, "redis")
	if err := settings.Join(settings.Wrong(cmd, err, "redis"), refused); err != nil {
		return nil, err
	}
	options.TLSConfig = cmp.Or(a.tls, options.TLSConfig)
	options.Username, options.Password = cmp.Or(a.user, options.Username), a.password
	options.ContextTimeoutEnabled = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return options, nil
}

// connectRedis connects to --redis for a command that works once.
func connectRedis(ctx context.Context, cmd *cli.Command) (redis.UniversalClient, error) {
	options, err := redisConfig(cmd, cmd.String("redis"))
	if err != nil {
		return nil, err
	}
	client, err := redisconn.Connect(ctx, options)
	return client, sessions.WithHint(err)
}

// redisOptions reads HOST:PORT,HOST:PORT or a URL. Its errors do not quote the
// address, which may hold a password.
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
		return nil, errors.New("a URL names one Redis: give several nodes of a Redis Cluster as HOST:PORT,HOST:PORT, with --redis-tls for TLS")
	}
	if u, err := url.Parse(address); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return nil, errors.New("the URL has a password, which others could read: set GENREC_REDIS_PASSWORD, or name a file by --redis-password-file")
		}
	}
	parsed, err := redis.ParseURL(address)
	if err != nil {
		return nil, errors.New("not HOST:PORT, and not a redis:// or rediss:// URL")
	}
	options := &redis.UniversalOptions{Addrs: []string{parsed.Addr}, DB: parsed.DB, Username: parsed.Username}
	if scheme == "rediss" {
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return options, nil
}
