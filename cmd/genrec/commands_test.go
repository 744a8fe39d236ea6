package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded"
	"genrec/pkg/stream"
)

func TestAllAnswersEvents(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- newApp().Run(ctx, []string{
			"genrec", "all", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr(), "--models", t.TempDir(),
			"--retrain-every", "200ms", "--pretrain-epochs", "1", "--finetune-epochs", "1", "--device", "cpu",
		})
	}()
	brokers := servers.KafkaBrokers()
	if err := stream.EnsureTopics(t.Context(), brokers, stream.DefaultTopics(), 4); err != nil {
		t.Fatal(err)
	}
	w := stream.NewWriter(brokers, stream.DefaultTopics().Interactions)
	defer w.Close()
	for i := range 5 {
		value := fmt.Sprintf(`{"event_id": "%d", "user_id": "u%d", "item_id": "i%d", "timestamp": %d}`, i, i%2, i, 1_750_000_000_000+i)
		if err := w.WriteMessages(t.Context(), kafka.Message{Key: []byte("u"), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	awaitKey(t, servers, "genrec:recs:{u0}")
	awaitKey(t, servers, "genrec:recs:{u1}")
	stop()
	if err := <-done; err != nil {
		t.Errorf("a stop ends in %v, want no error", err)
	}
}

func TestWrongUseIsExplained(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"genrec dance", `unknown command "dance"`},
		{"genrec --log-level loud demo", "--log-level"},
		{"genrec demo --data no-such-file", "no-such-file"},
		{"genrec demo --rate 0", "--rate"},
		{"genrec demo --device tpu", "--device"},
		{"genrec recommend --user ann", "--redis is needed"},
		{"genrec recommend --redis 127.0.0.1:1", `"user"`},
		{"genrec recommend --redis 127.0.0.1:1 --user ann", "ping Redis"},
		{"genrec retrain", "--redis is needed"},
	} {
		app := newApp()
		app.Writer, app.ErrWriter = io.Discard, io.Discard
		if err := app.Run(t.Context(), strings.Fields(c.line)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.line, err, c.want)
		}
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	for _, address := range []string{"redis://user:hunter2@[::bad", "http://user:hunter2@host", "redis://user:hunter2@127.0.0.1:1"} {
		err := newApp().Run(t.Context(), []string{"genrec", "recommend", "--user", "ann", "--redis", address})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %v for an address with a password, want one that does not show it", err)
		}
	}
}
