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

// tokensVariable is the environment variable with the tokens. It has no flag, as tokens are
// secrets.
const tokensVariable = "GENREC_TOKENS"

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve an HTTP API that returns recommendations and accepts events",
		Description: `Reads recommendations from Redis, leaves out blocked and unavailable items, and fills up
with popular ones. With --kafka it also accepts events and writes them to Kafka. The API
is described by /openapi.json; /readyz reports whether Redis answers.

If tokens are set, requests need one of them; otherwise everyone who can reach the address
can use the API.

Examples:  genrec serve --redis redis:6379
           genrec serve --redis redis:6379 --kafka kafka:9092 --listen :8443 \
              --tls-cert cert.pem --tls-key key.pem --tokens-file tokens --rate-limit 500`,
		Flags: join(kafkaFlags(), readerFlags(), metricsFlag(), []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "localhost:8080", Usage: "`HOST:PORT` to listen on; :PORT for all addresses of this machine", Validator: hostPort},
			&cli.StringFlag{Name: "tls-cert", Usage: "PEM `FILE` of the server certificate, for HTTPS"},
			&cli.StringFlag{Name: "tls-key", Usage: "PEM `FILE` of the key of the server certificate"},
			&cli.StringFlag{Name: "tokens-file", Usage: "`FILE` with one token per line; alternatively, set the variable " + tokensVariable + ", with spaces between tokens"},
			&cli.FloatFlag{Name: "rate-limit", Usage: "maximum requests per second of a token or, without tokens, of a client address; 0: no limit", Validator: atLeast(0.)},
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
			relaxGC()
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
		settings.Invalid(cmd, tlsErr, "tls-cert", "tls-key"), settings.Invalid(cmd, tokensErr, "tokens-file"), settings.Invalid(cmd, err, "listen"),
	); err != nil {
		return cfg, err
	}
	if ip := net.ParseIP(host); len(cfg.Tokens) == 0 && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		slog.Warn("everyone who can reach the address can read recommendations and send events: restrict it by --tokens-file", "address", cfg.Address)
	}
	return cfg, nil
}

// runServer serves at once, and is not ready until Redis and Kafka can be reached; wrong
// credentials and missing permissions end it.
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
	o.observeServer(server, client)
	group.Go(func() error { return unlessStopped(groupCtx, sessions.AwaitReader(groupCtx, slog.Default(), client)) })
	group.Go(func() error { return server.Run(groupCtx) })
	return group.Wait()
}

// unlessStopped drops the error of a wait that ended because ctx did.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// readerFlags are for commands that only read recommendations.
func readerFlags() []cli.Flag { return join(redisAddressFlags(), credentialFlags("redis")) }

func openReader(cmd *cli.Command) (redis.UniversalClient, *recs.Client, error) {
	if err := required(cmd, "redis", "the Redis with the recommendations"); err != nil {
		return nil, nil, settings.Join(err)
	}
	options, err := redisConfig(cmd, cmd.String("redis"))
	if err != nil {
		return nil, nil, err
	}
	rdb := redisconn.Lazy(options)
	return rdb, recs.New(rdb, recs.Options{Prefix: cmd.String("prefix")}), nil
}
