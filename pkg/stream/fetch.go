package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

// fetched is a broker's answer of one partition, read committed: it ends before the first
// transaction that is open. Those that were aborted are in it, with their names.
type fetched struct {
	highWatermark int64
	batches       []protocol.RecordReader
	aborted       []fetchapi.ResponseTransaction // by their first offset
}

// fetch asks for what is at an offset, or kafka.FirstOffset. It is kafka.Client.Fetch, which
// leaves out what transactions were aborted.
func fetch(ctx context.Context, client *kafka.Client, topic string, partition int, offset, maxBytes int64, wait time.Duration) (f fetched, err error) {
	if offset == kafka.FirstOffset {
		if offset, _, err = bounds(ctx, client, topic, partition, Earliest); err != nil {
			return f, err
		}
	}
	answer, err := client.Transport.RoundTrip(ctx, client.Addr, &fetchapi.Request{
		ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: int32(maxBytes),
		IsolationLevel: int8(kafka.ReadCommitted), SessionID: -1, SessionEpoch: -1,
		Topics: []fetchapi.RequestTopic{{Topic: topic, Partitions: []fetchapi.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: int32(maxBytes),
		}}}},
	})
	if err != nil {
		return f, err
	}
	response := answer.(*fetchapi.Response)
	if response.ErrorCode != 0 {
		return f, kafka.Error(response.ErrorCode)
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return f, fmt.Errorf("%w: the answer has no such partition", kafka.UnknownTopicOrPartition)
	}
	p := &response.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return f, kafka.Error(p.ErrorCode)
	}
	f = fetched{highWatermark: p.HighWatermark, aborted: p.AbortedTransactions}
	slices.SortFunc(f.aborted, func(a, b fetchapi.ResponseTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
	switch records := p.RecordSet.Records.(type) {
	case nil:
	case *protocol.RecordStream:
		f.batches = records.Records
	default:
		f.batches = []protocol.RecordReader{records}
	}
	return f, nil
}

// transactions tells which batches of an answer are of transactions that were aborted.
type transactions struct {
	begin   []fetchapi.ResponseTransaction // that are still to come
	aborted map[int64]bool                 // by producer, those that have begun and not ended
}

// skips tells of each batch, in order, whether it holds no messages for consumers.
func (t *transactions) skips(batch protocol.RecordReader) bool {
	switch b := batch.(type) {
	case *protocol.ControlBatch: // it ends a transaction of its producer
		t.reach(b.BaseOffset)
		delete(t.aborted, b.ProducerID)
		return true
	case *protocol.RecordBatch:
		t.reach(b.BaseOffset)
		return b.Attributes.Transactional() && t.aborted[b.ProducerID]
	}
	return false
}

func (t *transactions) reach(offset int64) {
	for len(t.begin) > 0 && t.begin[0].FirstOffset <= offset {
		if t.aborted == nil {
			t.aborted = make(map[int64]bool)
		}
		t.aborted[t.begin[0].ProducerID] = true
		t.begin = t.begin[1:]
	}
}

// offsetOf returns the first offset of a batch, or -1 if it does not tell.
func offsetOf(batch protocol.RecordReader) int64 {
	if b, ok := batch.(interface{ Offset() int64 }); ok {
		return b.Offset()
	}
	return -1
}

// drain reads what is left of a batch, gives the memory behind it back, and returns the offset
// of its last record.
func drain(batch protocol.RecordReader) (last int64, err error) {
	last = offsetOf(batch)
	for {
		record, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, fmt.Errorf("read a record that is no message: %w", err)
		}
		last = record.Offset
		for _, b := range []protocol.Bytes{record.Key, record.Value} {
			if b != nil {
				b.Close()
			}
		}
	}
}
