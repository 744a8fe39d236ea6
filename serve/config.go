// Package serve answers over HTTP: recommendations out, interaction events in.
// openapi.json describes it.
package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"genrec/pkg/recs"
)

// Reader reads recommendations. *recs.Client is one.
type Reader interface {
	Read(ctx context.Context, users []string, q recs.Query) ([]recs.Answer, error)
	// Ping tells whether recommendations can be read now.
	Ping(ctx context.Context) error
}

// Event is one that is valid, as it came.
type Event struct {
	User string
	JSON json.RawMessage
}

// Publisher brings events into the stream. *Producer is one.
type Publisher interface {
	// Publish returns when all of them are there for good, with a *stream.RejectedError all
	// but those that no retry can bring there.
	Publish(ctx context.Context, events []Event) error
}

// Config configures a Server.
type Config struct {
	Address string               // HOST:PORT to listen at
	TLS     *tls.Config          // nil: not encrypted
	Tokens  []string             // whoever shows one of them may ask; without any, everybody may
	Rate    float64              // requests a second of a token, or else of an address; 0: any number
	Tracing trace.TracerProvider // nil: no spans
	Logger  *slog.Logger
	// Around puts something before the API, such as a page beside it; nil: nothing.
	Around func(api http.Handler) http.Handler
}

// MinToken is the length of the shortest token: less could be guessed.
const MinToken = 16

func (c *Config) prepare() error {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Tracing == nil {
		c.Tracing = noop.NewTracerProvider()
	}
	if c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) {
		return fmt.Errorf("serve: a rate of %v requests a second is none", c.Rate)
	}
	for i, token := range c.Tokens {
		if len(token) < MinToken {
			return fmt.Errorf("serve: token %d of %d has %d characters, at least %d are needed: openssl rand -hex 16 makes a good one",
				i+1, len(c.Tokens), len(token), MinToken)
		}
	}
	if c.Address == "" {
		return errors.New("serve: no address to listen at")
	}
	return nil
}
