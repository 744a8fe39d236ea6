package stream_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/realservers"
	"genrec/pkg/stream"
	"genrec/pkg/tlsfiles"
)

// startSecure starts a Kafka with TLS and SASL, and counts the connections to it.
func startSecure(t *testing.T) (cluster stream.Cluster, opened func() int) {
	t.Helper()
	authority, err := realservers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, err := authority.Issue("kafka")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	server, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "ann", "hunter2"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	connections := make(chan struct{}, 10_000)
	server.ControlKey(int16(kmsg.SASLHandshake), func(kmsg.Request) (kmsg.Response, error, bool) {
		server.KeepControl()
		connections <- struct{}{} // once by each
		return nil, nil, false
	})
	clientTLS, err := tlsfiles.Files{CA: files.CA}.Client()
	if err != nil {
		t.Fatal(err)
	}
	mechanism, err := stream.NewSASL("PLAIN", "ann", "hunter2")
	if err != nil {
		t.Fatal(err)
	}
	cluster = stream.Cluster{Brokers: server.ListenAddrs(), TLS: clientTLS, SASL: mechanism}
	return cluster, func() int { return len(connections) }
}

// Nothing that is called again and again may leave connections, or open those that could be
// shared.
func TestCallsLeaveNoConnections(t *testing.T) {
	cluster, opened := startSecure(t)
	if err := stream.EnsureTopics(t.Context(), cluster, stream.DefaultTopics(), 2); err != nil {
		t.Fatal(err)
	}
	all := slices.DeleteFunc(publicCalls(cluster), func(c call) bool { return c.slow })
	run := func(c call) {
		if err := c.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	for _, c := range all { // opens what stays
		run(c)
	}
	before := runtime.NumGoroutine()
	const calls = 20
	for _, c := range all {
		connections := opened()
		for range calls {
			run(c)
		}
		if n := opened() - connections; c.shares && n >= calls/2 {
			t.Errorf("%d calls of %s opened %d connections, want those before to be used again", calls, c.name, n)
		}
	}
	// A reader that is closed waits for the broker's last answer.
	embeddedtest.Eventually(t, func() string {
		if n := runtime.NumGoroutine() - before; n >= calls/2 {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Sprintf("%d calls of each function left %d goroutines:\n%s", calls, n, &stacks)
		}
		return ""
	})
}

// One of the brokers that a cluster is given by may be away.
func TestDeadBrokerIsPassedOver(t *testing.T) {
	servers := startWithTopics(t)
	cluster := servers.Cluster()
	cluster.Brokers = append([]string{"127.0.0.1:1"}, cluster.Brokers...)
	for _, call := range publicCalls(cluster) {
		t.Run(call.name, func(t *testing.T) {
			for range 3 { // in whichever order brokers are tried
				if err := call.do(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type call struct {
	name   string
	shares bool // connections with the calls before
	slow   bool
	do     func(context.Context) error
}

// publicCalls are all of the package that reach a cluster.
func publicCalls(cluster stream.Cluster) []call {
	topics := stream.DefaultTopics()
	lag := stream.NewLagCollector(cluster, "readers", topics.Refreshes)
	write := func(ctx context.Context, w *kafka.Writer, messages ...kafka.Message) error {
		defer w.Close()
		return stream.Publish(ctx, quiet, w, messages...)
	}
	consume := func(start stream.Start) func(context.Context) error {
		return func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			var consumed atomic.Bool
			group := stream.GroupConfig{Kafka: cluster, Group: fmt.Sprint("group-", time.Now().UnixNano()), Topic: topics.Interactions, Start: start, Logger: quiet}
			err := stream.Consume(ctx, group, func(ctx context.Context, p *stream.Partition) error {
				if err := p.Commit(ctx, 0); err != nil {
					return err
				}
				consumed.Store(true)
				cancel()
				return nil
			})
			if consumed.Load() {
				return nil
			}
			return err
		}
	}
	original := kafka.Message{Topic: topics.Interactions, Key: []byte("ann"), Value: []byte("{")}
	return []call{
		{name: "EnsureTopics", do: func(ctx context.Context) error { return stream.EnsureTopics(ctx, cluster, topics, 2) }},
		{name: "AwaitTopics", do: func(ctx context.Context) error { return stream.AwaitTopics(ctx, quiet, cluster, topics, 2) }},
		{name: "ExamineTopics", do: func(ctx context.Context) error {
			_, err := stream.ExamineTopics(ctx, cluster, topics)
			return err
		}},
		{name: "CheckPermissions", do: func(ctx context.Context) error {
			return stream.CheckPermissions(ctx, cluster, stream.Permissions{Group: "readers", Reads: topics.Refreshes, Writes: []string{topics.DeadLetters}})
		}},
		{name: "Compacts", do: func(ctx context.Context) error {
			_, err := stream.Compacts(ctx, cluster, topics.DeadLetters)
			return err
		}},
		{name: "Publish", shares: true, do: func(ctx context.Context) error {
			return write(ctx, stream.NewWriter(cluster, topics.Refreshes), kafka.Message{Key: []byte("ann"), Value: []byte("v")})
		}},
		{name: "Publish dead letters", shares: true, do: func(ctx context.Context) error {
			return write(ctx, stream.NewDeadLetterWriter(cluster, topics.DeadLetters), stream.DeadLetter(original, "not_json", "detail"))
		}},
		{name: "Lag", shares: true, do: func(ctx context.Context) error {
			_, err := stream.Lag(ctx, cluster, "readers", topics.Refreshes)
			return err
		}},
		{name: "NewLagCollector", shares: true, do: func(context.Context) error {
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(lag)
			n, err := testutil.GatherAndCount(registry)
			if err == nil && n != 2 {
				err = fmt.Errorf("the lag of %d partitions is told, want 2", n)
			}
			return err
		}},
		{name: "Scan", do: func(ctx context.Context) error {
			return stream.Scan(ctx, cluster, topics.Refreshes, stream.Since(time.Now().Add(-time.Minute)), func(kafka.Message) error { return nil })
		}},
		{name: "Letters", do: func(ctx context.Context) error {
			_, err := stream.Letters(ctx, cluster, topics.DeadLetters, stream.Earliest, func(stream.Letter) error { return nil })
			return err
		}},
		{name: "Replay", do: func(ctx context.Context) error {
			_, err := stream.Replay(ctx, stream.ReplayConfig{Kafka: cluster, Topics: topics, Logger: quiet})
			return err
		}},
		{name: "EraseLetters", do: func(ctx context.Context) error {
			_, err := stream.EraseLetters(ctx, quiet, cluster, topics.DeadLetters, []string{"ann"}, func() {})
			return err
		}},
		{name: "Consume from the latest", do: consume(stream.Latest)},
		{name: "Consume from a time", do: consume(stream.Since(time.Now().Add(-time.Hour)))},
		{name: "NewReader", slow: true, do: func(ctx context.Context) error {
			r := stream.NewReader(cluster, "readers", topics.Refreshes)
			defer r.Close()
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			_, err := r.FetchMessage(ctx)
			return err
		}},
	}
}

// Where a start is in a partition.
func TestScanStarts(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	begin := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 5 {
		m := kafka.Message{Key: []byte("ann"), Value: fmt.Append(nil, i), Time: begin.Add(time.Duration(i) * time.Minute)}
		if err := w.WriteMessages(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for start, want := range map[stream.Start]string{
		stream.Earliest:                            "[0 1 2 3 4]",
		stream.Latest:                              "[]",
		stream.Since(begin):                        "[0 1 2 3 4]",
		stream.Since(begin.Add(2 * time.Minute)):   "[2 3 4]",
		stream.Since(begin.Add(150 * time.Second)): "[3 4]",
		stream.Since(begin.Add(time.Hour)):         "[]",
	} {
		var values []string
		err := stream.Scan(t.Context(), servers.Cluster(), topic, start, func(m kafka.Message) error {
			values = append(values, string(m.Value))
			return nil
		})
		slices.Sort(values)
		if got := fmt.Sprint(values); err != nil || got != want {
			t.Errorf("from %v there is %s (error %v), want %s", start, got, err, want)
		}
	}
}

// A partition whose commits cannot be read is no partition without commits.
func TestLagReportsErrorsOfPartitions(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Refreshes
	if lag, err := stream.Lag(t.Context(), servers.Cluster(), "readers", topic); err != nil || lag != 0 {
		t.Fatalf("the lag is %d (%v), want 0", lag, err)
	}
	servers.Faults().ControlKey(int16(kmsg.OffsetFetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		servers.Faults().KeepControl()
		asked, answer := request.(*kmsg.OffsetFetchRequest), request.ResponseKind().(*kmsg.OffsetFetchResponse)
		for _, t := range asked.Topics {
			of := kmsg.OffsetFetchResponseTopic{Topic: t.Topic}
			for _, partition := range t.Partitions {
				of.Partitions = append(of.Partitions, kmsg.OffsetFetchResponseTopicPartition{
					Partition: partition, Offset: -1, ErrorCode: kerr.TopicAuthorizationFailed.Code,
				})
			}
			answer.Topics = append(answer.Topics, of)
		}
		return answer, nil, true
	})
	if lag, err := stream.Lag(t.Context(), servers.Cluster(), "readers", topic); !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("the lag is %d (%v), want the error", lag, err)
	}
}
