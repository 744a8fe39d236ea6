package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/recs"
	"genrec/serve"
	"genrec/serve/playground"
)

// pageAddress is the default of --page. It differs from that of serve.
const pageAddress = "localhost:8090"

func pageFlag(usage string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "page", Value: pageAddress, Usage: "`HOST:PORT` of a web page to watch genrec work and to try it; " + usage, Validator: optional(hostPort)},
	}
}

// listenForPage returns nil if --page is empty. With anyPort, it uses a free port if that of the
// default address is taken.
func listenForPage(ctx context.Context, cmd *cli.Command, anyPort bool) (net.Listener, error) {
	address := cmd.String("page")
	if address == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--page: %w", err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) && anyPort && !cmd.IsSet("page") {
		listener, err = listen.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf(`--page: %s is in use, perhaps by another genrec: choose another HOST:PORT, or "" for no page: %w`, address, err)
	}
	if err != nil {
		return nil, fmt.Errorf("--page: listen at %s: %w", address, err)
	}
	return listener, nil
}

// pageCacheFor is short, because people watch the page.
const pageCacheFor = time.Second

func newPage(cmd *cli.Command, s *servers, train func(context.Context) (string, error)) (*playground.Playground, *recs.Client) {
	client := recs.New(s.redis, recs.Options{Prefix: cmd.String("prefix"), CacheFor: pageCacheFor})
	return playground.New(playground.Config{Reader: client, Sessions: s.store, Train: train}), client
}

// servePage runs the page until ctx ends and, if there is a listener, serves it together with
// the HTTP API. o, if not nil, observes the API as it does for serve.
func servePage(ctx context.Context, page *playground.Playground, client *recs.Client, s *servers, listener net.Listener, o *observation) (err error) {
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return page.Run(groupCtx) })
	if listener != nil {
		address, ok := listener.Addr().(*net.TCPAddr)
		local := ok && address.IP.IsLoopback()
		if !local {
			slog.WarnContext(ctx, "everyone who can reach the page can read, send events and train", "address", listener.Addr())
		}
		producer := serve.NewProducer(s.kafka, slog.Default())
		defer func() { err = errors.Join(err, producer.Close()) }()
		cfg := serve.Config{Address: listener.Addr().String(), Middleware: page.Around(local)}
		if o != nil {
			cfg.Tracing = o.tracing
		}
		server, err := serve.New(cfg, client, producer)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		if o != nil {
			o.metrics.MustRegister(server.Metrics()...)
		}
		group.Go(func() error { return server.Serve(groupCtx, listener) })
	}
	return group.Wait()
}

// pageURL is the address to open in a browser.
func pageURL(listener net.Listener) string {
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if ip := net.ParseIP(host); err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}
