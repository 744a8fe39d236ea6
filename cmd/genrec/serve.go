package main

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/recs"
	"genrec/pkg/redisconn"
	"genrec/pkg/stream"
	"genrec/pkg/tlsfiles"
	"genrec/serve"
	"genrec/sessions"
)

// tokensVariable holds secrets, so there is no flag that does.
const tokensVariable = "GENREC_TOKENS"

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "answer over HTTP: recommendations out, events in",
		Description: `Reads recommendations from Redis, leaves out what the shop has blocked or cannot
sell, and fills up with popular items. With --kafka it also takes events.
/openapi.json describes all of it; /readyz tells whether Redis answers.

Whoever sends a token gets an answer; without tokens, everybody who reaches the
address does.

Examples:  genrec serve --redis redis:6379
           genrec serve --redis redis:6379 --kafka kafka:9092 --listen :8443 \
              --tls-cert cert.pem --tls-key key.pem --tokens-file tokens --rate-limit 500`,
		Flags: join(kafkaFlags(), readerFlags(), metricsFlag(), []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "localhost:8080", Usage: "`HOST:PORT` to listen at; :PORT is all of this machine's addresses", Validator: anAddress},
			&cli.StringFlag{Name: "tls-cert", Usage: "PEM `FILE` of the certificate to show: with it, HTTPS"},
			&cli.StringFlag{Name: "tls-key", Usage: "PEM `FILE` of that certificate's key"},
			&cli.StringFlag{Name: "tokens-file", Usage: "`FILE` with a token a line, or the variable " + tokensVariable + " holds them, with spaces between"},
			&cli.FloatFlag{Name: "rate-limit", Usage: "requests a second that a token may make, or without tokens an address; 0 is any number", Validator: atLeast(0.)},
		}),
		Action: service(func(ctx context.Context, cmd *cli.Command) (err error) {
			cfg, serveErr := serveConfig(cmd)
			kafka, kafkaErr := kafkaCluster(cmd)
			rdb, client, err := openReader(cmd)
			if err := settings.Join(serveErr, kafkaErr, err); err != nil {
				return err
			}
			o, err := observe(ctx, cmd)
			if err != nil {
				return errors.Join(err, rdb.Close())
			}
			defer func() { err = errors.Join(err, o.close(ctx)) }()
			cfg.Tracing = o.tracing
			collectLess()
			return errors.Join(runServer(ctx, cfg, kafka, client, cmd.Int("partitions"), o), rdb.Close())
		}),
	}
}

func serveConfig(cmd *cli.Command) (serve.Config, error) {
	cfg := serve.Config{Address: cmd.String("listen"), Rate: cmd.Float("rate-limit"), Logger: slog.Default()}
	files := tlsfiles.Files{Cert: cmd.String("tls-cert"), Key: cmd.String("tls-key")}
	var tlsErr error
	if files != (tlsfiles.Files{}) {
		cfg.TLS, tlsErr = files.Server()
	}
	var tokensErr error
	cfg.Tokens, tokensErr = readTokens(cmd.String("tokens-file"), tokensVariable)
	host, _, err := net.SplitHostPort(cfg.Address)
	if err := settings.Join(
		settings.Wrong(cmd, tlsErr, "tls-cert", "tls-key"), settings.Wrong(cmd, tokensErr, "tokens-file"), settings.Wrong(cmd, err, "listen"),
	); err != nil {
		return cfg, err
	}
	if ip := net.ParseIP(host); len(cfg.Tokens) == 0 && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		slog.Warn("everybody who reaches the address may read and send: --tokens-file changes it", "address", cfg.Address)
	}
	return cfg, nil
}

// runServer answers at once that it is not ready, while a server is still away; one that
// refuses ends it.
func runServer(ctx context.Context, cfg serve.Config, kafka stream.Cluster, client *recs.Client, partitions int, o *observation) (err error) {
	group, groupCtx := errgroup.WithContext(ctx)
	var events serve.Publisher
	if len(kafka.Brokers) > 0 {
		producer := serve.NewProducer(kafka, slog.Default())
		defer func() { err = errors.Join(err, producer.Close()) }()
		events = producer
		group.Go(func() error {
			err := errors.Join(
				stream.AwaitTopics(groupCtx, slog.Default(), kafka, stream.DefaultTopics(), partitions),
				stream.AwaitPermissions(groupCtx, slog.Default(), kafka, producer.Permissions()))
			if err != nil {
				return unlessStopped(groupCtx, err)
			}
			return stream.NewTopicWatcher(kafka, stream.DefaultTopics(), partitions, slog.Default()).Run(groupCtx)
		})
	}
	server, err := serve.New(cfg, client, events)
	if err != nil {
		return err
	}
	o.serves(server, client)
	group.Go(func() error { return unlessStopped(groupCtx, sessions.AwaitReader(groupCtx, slog.Default(), client)) })
	group.Go(func() error { return server.Run(groupCtx) })
	return group.Wait()
}

// unlessStopped drops what waiting ends in when there is nothing to wait for any more.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// readerFlags are those of commands that only read recommendations.
func readerFlags() []cli.Flag { return join(redisAddressFlags(), accessFlags("redis")) }

func openReader(cmd *cli.Command) (redis.UniversalClient, *recs.Client, error) {
	if err := needed(cmd, "redis", "where are the recommendations?"); err != nil {
		return nil, nil, settings.Join(err)
	}
	options, err := redisConfig(cmd, cmd.String("redis"))
	if err != nil {
		return nil, nil, err
	}
	rdb := redisconn.Lazy(options)
	return rdb, recs.New(rdb, recs.Options{Prefix: cmd.String("prefix")}), nil
}
