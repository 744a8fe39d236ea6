package embeddedtest

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer writes in transactions.
type Producer struct {
	t      testing.TB
	client *kgo.Client
}

// Transactional returns a producer with an id of its own. kafka-go has none.
func (s *Servers) Transactional(id string) *Producer {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.KafkaBrokers()...), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return &Producer{t: s.t, client: client}
}

// Begin begins a transaction and writes values, which are also the keys, to a partition.
func (p *Producer) Begin(topic string, partition int32, values ...string) {
	p.t.Helper()
	if err := p.client.BeginTransaction(); err != nil {
		p.t.Fatal(err)
	}
	p.Write(topic, partition, values...)
}

// Write adds to the open transaction.
func (p *Producer) Write(topic string, partition int32, values ...string) {
	p.t.Helper()
	for _, value := range values {
		record := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(value), Value: []byte(value)}
		if err := p.client.ProduceSync(p.t.Context(), record).FirstErr(); err != nil {
			p.t.Fatalf("write %q in a transaction: %v", value, err)
		}
	}
}

// Commit ends the transaction with effect.
func (p *Producer) Commit() { p.end(kgo.TryCommit) }

// Abort ends the transaction without.
func (p *Producer) Abort() { p.end(kgo.TryAbort) }

func (p *Producer) end(how kgo.TransactionEndTry) {
	p.t.Helper()
	if err := p.client.EndTransaction(context.WithoutCancel(p.t.Context()), how); err != nil {
		p.t.Fatal(err)
	}
}
