package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

// readings are the values that a group member has received, in order.
type readings struct {
	mu     sync.Mutex
	values []string
}

func (r *readings) add(value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values = append(r.values, value)
}

func (r *readings) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.values)
}

// consume runs a member of a group that commits each message, until the test ends.
func consume(t *testing.T, cfg stream.GroupConfig) *readings {
	t.Helper()
	r := &readings{}
	service := embeddedtest.Run(t, func(ctx context.Context) error {
		err := stream.Consume(ctx, cfg, func(ctx context.Context, p *stream.Partition) error {
			for {
				m, err := p.Fetch(ctx)
				if err != nil {
					return err
				}
				r.add(string(m.Value))
				if err := p.Commit(ctx, m.Offset+1); err != nil {
					return err
				}
			}
		})
		if ctx.Err() == nil {
			return err
		}
		return nil
	})
	t.Cleanup(service.Stop)
	return r
}

func (r *readings) await(t *testing.T, want ...string) {
	t.Helper()
	embeddedtest.Eventually(t, func() string {
		if got := r.all(); !slices.Equal(got, want) {
			return fmt.Sprintf("the group has read %q, want %q", got, want)
		}
		return ""
	})
}

// Groups and scans read only committed transactions. An open transaction holds up the messages
// after it, as Kafka defines it. Control records at the end are not lag.
func TestOnlyCommittedTransactionsAreRead(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	cluster := servers.Cluster()
	first, second := servers.Transactional("first"), servers.Transactional("second")
	const group = "transactions"
	write := func(value string) {
		t.Helper()
		if _, err := servers.Client().Produce(t.Context(), &kafka.ProduceRequest{
			Topic: topic, Partition: 0, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte(value)), Value: kafka.NewBytes([]byte(value))}),
		}); err != nil {
			t.Fatal(err)
		}
	}
	wantScan := func(want ...string) {
		t.Helper()
		var got []string
		if err := stream.Scan(t.Context(), cluster, topic, stream.Earliest, func(m kafka.Message) error {
			got = append(got, string(m.Value))
			return nil
		}); err != nil || !slices.Equal(got, want) {
			t.Errorf("a scan reads %q (error %v), want %q", got, err, want)
		}
	}
	awaitLag := func(want int64) {
		t.Helper()
		embeddedtest.Eventually(t, func() string {
			if lag, err := stream.Lag(t.Context(), cluster, group, topic); err != nil || lag != want {
				return fmt.Sprintf("the lag is %d (error %v), want %d", lag, err, want)
			}
			return ""
		})
	}

	first.Begin(topic, 0, "aborted-1", "aborted-2")
	first.Abort()
	awaitLag(0) // there are only aborted messages
	write("plain-1")
	second.Begin(topic, 0, "committed-1")
	first.Begin(topic, 0, "aborted-3")
	second.Write(topic, 0, "committed-2")
	first.Abort()
	write("plain-2")
	second.Commit()
	want := []string{"plain-1", "committed-1", "committed-2", "plain-2"}
	wantScan(want...)
	if lag, err := stream.Lag(t.Context(), cluster, group, topic); err != nil || lag < int64(len(want)) {
		t.Errorf("before the group has read, its lag is %d (error %v), want at least %d (plus control records)", lag, err, len(want))
	}
	got := consume(t, stream.GroupConfig{Kafka: cluster, Group: group, Topic: topic, Logger: quiet})
	got.await(t, want...)
	awaitLag(0)

	first.Begin(topic, 0, "open")
	write("after-open")
	wantScan(want...)
	awaitLag(0)
	got.await(t, want...)
	first.Abort()
	want = append(want, "after-open")
	got.await(t, want...)
	wantScan(want...)
	second.Begin(topic, 0, "committed-3")
	second.Commit()
	first.Begin(topic, 0, "aborted-4")
	first.Abort()
	want = append(want, "committed-3")
	got.await(t, want...)
	awaitLag(0)
	wantScan(want...)
}

// A member that reads an empty topic gets the first message, and reports no lost messages.
func TestConsumeFromEmptyTopic(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	var logged bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	received := make(chan []kafka.Message)
	done := make(chan error, 1)
	go func() {
		done <- stream.Consume(ctx, stream.GroupConfig{
			Kafka: servers.Cluster(), Group: "group", Topic: topic,
			Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelError})),
		}, func(ctx context.Context, p *stream.Partition) error {
			for {
				messages, err := p.FetchBatch(ctx)
				if err != nil {
					return err
				}
				select {
				case received <- messages:
				case <-ctx.Done():
				}
			}
		})
	}()
	time.Sleep(4 * time.Second) // until each partition has had an empty fetch response
	writer := stream.NewWriter(servers.Cluster(), topic)
	defer writer.Close()
	if err := stream.Publish(t.Context(), quiet, writer, kafka.Message{Key: []byte("ann"), Value: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	select {
	case messages := <-received:
		if len(messages) != 1 || string(messages[0].Value) != "first" {
			t.Errorf("received %v", messages)
		}
	case <-time.After(10 * time.Second):
		t.Error("the first message of the topic was skipped")
	}
	stop()
	<-done
	if logged.Len() > 0 {
		t.Errorf("logged %s", logged.String())
	}
}
