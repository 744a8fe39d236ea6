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

// fetchResponse is the part of a fetch response that belongs to one partition, with isolation
// level read_committed: it ends before the first open transaction. It contains the batches of
// aborted transactions, and lists these.
type fetchResponse struct {
	highWatermark int64
	batches       []protocol.RecordReader
	aborted       []fetchapi.ResponseTransaction // by first offset
}

// fetch sends a fetch request for an offset, or kafka.FirstOffset. kafka.Client.Fetch cannot be
// used because it drops the list of aborted transactions.
func fetch(ctx context.Context, client *kafka.Client, topic string, partition int, offset, maxBytes int64, maxWait time.Duration) (f fetchResponse, err error) {
	if offset == kafka.FirstOffset {
		if offset, _, err = offsetRange(ctx, client, topic, partition, Earliest); err != nil {
			return f, err
		}
	}
	roundTrip, err := client.Transport.RoundTrip(ctx, client.Addr, &fetchapi.Request{
		ReplicaID: -1, MaxWaitTime: int32(maxWait.Milliseconds()), MinBytes: 1, MaxBytes: int32(maxBytes),
		IsolationLevel: int8(kafka.ReadCommitted), SessionID: -1, SessionEpoch: -1,
		Topics: []fetchapi.RequestTopic{{Topic: topic, Partitions: []fetchapi.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: int32(maxBytes),
		}}}},
	})
	if err != nil {
		return f, err
	}
	response := roundTrip.(*fetchapi.Response)
	if response.ErrorCode != 0 {
		return f, kafka.Error(response.ErrorCode)
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return f, fmt.Errorf("%w: the fetch response does not contain the partition", kafka.UnknownTopicOrPartition)
	}
	p := &response.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return f, kafka.Error(p.ErrorCode)
	}
	f = fetchResponse{highWatermark: p.HighWatermark, aborted: p.AbortedTransactions}
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

// messages returns the messages from an offset on, and the offset after the last record, or -1
// if the response has no batch. It skips the records that a broker may return in addition:
// those of the first batch before the offset, those of aborted transactions, and the control
// records at the ends of transactions.
func (f fetchResponse) messages(topic string, partition int, from int64) (messages []kafka.Message, end int64, err error) {
	end = -1
	aborted := abortedTransactions{pending: f.aborted}
	for _, batch := range f.batches {
		end = max(end, baseOffset(batch))
		if aborted.skip(batch) {
			last, err := drain(batch)
			if err != nil {
				return messages, end, err
			}
			end = last + 1
			continue
		}
		for {
			record, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return messages, end, fmt.Errorf("read a record: %w", err)
			}
			m, err := newMessage(topic, partition, record)
			if err != nil {
				return messages, end, err
			}
			end = record.Offset + 1
			if record.Offset >= from {
				messages = append(messages, m)
			}
		}
	}
	return messages, end, nil
}

func newMessage(topic string, partition int, record *kafka.Record) (m kafka.Message, err error) {
	m = kafka.Message{Topic: topic, Partition: partition, Offset: record.Offset, Time: record.Time, Headers: slices.Clone(record.Headers)}
	if m.Key, err = copyBytes(record.Key); err == nil {
		m.Value, err = copyBytes(record.Value)
	}
	if err != nil {
		return m, fmt.Errorf("read the record at offset %d: %w", record.Offset, err)
	}
	return m, nil
}

// copyBytes copies a key or value, nil if there is none, and releases its buffer.
func copyBytes(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return protocol.ReadAll(b)
}

// abortedTransactions finds the batches of aborted transactions in a fetch response.
type abortedTransactions struct {
	pending []fetchapi.ResponseTransaction // that begin later in the response
	open    map[int64]bool                 // by producer id: begun and not yet ended
}

// skip must be called with each batch in order. It reports whether the batch has no messages for
// consumers: it is a control batch, or belongs to an aborted transaction.
func (t *abortedTransactions) skip(batch protocol.RecordReader) bool {
	switch b := batch.(type) {
	case *protocol.ControlBatch: // ends a transaction of its producer
		t.advance(b.BaseOffset)
		delete(t.open, b.ProducerID)
		return true
	case *protocol.RecordBatch:
		t.advance(b.BaseOffset)
		return b.Attributes.Transactional() && t.open[b.ProducerID]
	}
	return false
}

func (t *abortedTransactions) advance(offset int64) {
	for len(t.pending) > 0 && t.pending[0].FirstOffset <= offset {
		if t.open == nil {
			t.open = make(map[int64]bool)
		}
		t.open[t.pending[0].ProducerID] = true
		t.pending = t.pending[1:]
	}
}

// baseOffset returns the first offset of a batch, or -1 if the batch has none.
func baseOffset(batch protocol.RecordReader) int64 {
	if b, ok := batch.(interface{ Offset() int64 }); ok {
		return b.Offset()
	}
	return -1
}

// drain reads the rest of a batch, releases its buffers, and returns the offset of its last
// record.
func drain(batch protocol.RecordReader) (last int64, err error) {
	last = baseOffset(batch)
	for {
		record, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, fmt.Errorf("read a skipped record: %w", err)
		}
		last = record.Offset
		for _, b := range []protocol.Bytes{record.Key, record.Value} {
			if b != nil {
				b.Close()
			}
		}
	}
}
