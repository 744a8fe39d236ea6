package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"genrec/pkg/backoff"
	"genrec/test/harness"
)

// instance is a genrec with a page.
type instance struct {
	*harness.Child
	address string
	log     *os.File // also of what it prints
}

func (i instance) url() string { return urlOf(i.address) }

func urlOf(address string) string { return "http://" + address + "/" }

// freeAddress is taken by nobody for a moment.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// startInstance waits until the page can be asked for.
func startInstance(ctx context.Context, log *os.File, genrec, address string, args ...string) (i instance, err error) {
	i = instance{address: address, log: log}
	if i.Child, err = harness.StartPrinting(log, log, genrec, append(args, "--page", address)...); err != nil {
		return i, err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return i, conn.Close()
		}
		if failed := i.Failed(); failed != nil || time.Now().After(deadline) {
			return i, fmt.Errorf("genrec does not answer at %s, see %s: %w", address, log.Name(), errors.Join(err, failed))
		}
		if err := backoff.Sleep(ctx, 50*time.Millisecond); err != nil {
			return i, err
		}
	}
}
