package stream_test

import (
	"log/slog"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

func startWithTopics(t *testing.T) *embeddedtest.Servers {
	t.Helper()
	servers, _ := embeddedtest.Start(t)
	return servers
}

func header(m kafka.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
