package stream

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"genrec/pkg/textfile"
)

// DeadLetterPrinter prints dead letters one by one, because there may be millions.
type DeadLetterPrinter interface {
	// Print prints a dead letter.
	Print(DeadLetter) error
	// Close prints the rest. complete reports whether all dead letters were read.
	Close(complete bool) error
}

// NewDeadLetterTable returns a printer of a table for people. Control characters of keys and
// details are escaped.
func NewDeadLetterTable(out io.Writer) DeadLetterPrinter {
	return &deadLetterTable{out: out, table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
}

// tablePage is the number of lines that are aligned, and kept in memory, together.
const tablePage = 100

type deadLetterTable struct {
	out   io.Writer
	table *tabwriter.Writer
	lines int
}

func (t *deadLetterTable) Print(d DeadLetter) error {
	if t.lines == 0 {
		if err := t.line("WRITTEN", "REASON", "KEY", "FROM", "DETAIL"); err != nil {
			return err
		}
	}
	from := position(d.Original.Topic, d.Original.Partition, d.Original.Offset)
	return t.line(d.Time.UTC().Format(time.RFC3339), d.Reason, textfile.Printable(d.Original.Key), from, textfile.Printable(d.Detail))
}

func (t *deadLetterTable) line(columns ...any) error {
	_, err := fmt.Fprintf(t.table, "%s\t%s\t%s\t%s\t%s\n", columns...)
	if t.lines++; t.lines%tablePage == 0 && err == nil {
		err = t.table.Flush()
	}
	return err
}

func (t *deadLetterTable) Close(complete bool) error {
	if t.lines == 0 && complete {
		_, err := fmt.Fprintln(t.out, "no dead letters")
		return err
	}
	return t.table.Flush()
}

// NewDeadLetterJSON returns a printer of lines of JSON.
func NewDeadLetterJSON(out io.Writer) DeadLetterPrinter {
	return deadLetterLines{json.NewEncoder(out)}
}

type deadLetterLines struct{ *json.Encoder }

func (l deadLetterLines) Print(d DeadLetter) error { return l.Encode(newDeadLetterJSON(d)) }
func (deadLetterLines) Close(bool) error           { return nil }

// deadLetterJSON is a dead letter as JSON. A value that is not UTF-8 is in base64.
type deadLetterJSON struct {
	Reason      string            `json:"reason"`
	Detail      string            `json:"detail"`
	Written     time.Time         `json:"buried"`
	Key         string            `json:"key"`
	Value       string            `json:"value"`
	ValueBase64 []byte            `json:"value_base64,omitempty"`
	CutFrom     int               `json:"cut_from,omitempty"` // original length in bytes of a truncated value
	Headers     map[string]string `json:"headers,omitempty"`
	Produced    time.Time         `json:"produced,omitzero"`
	Topic       string            `json:"topic"`
	Partition   int               `json:"partition"`
	Offset      int64             `json:"offset"`
	Letter      string            `json:"letter"` // TOPIC/PARTITION/OFFSET of the dead letter
}

func newDeadLetterJSON(d DeadLetter) deadLetterJSON {
	line := deadLetterJSON{
		Reason: d.Reason, Detail: d.Detail, Written: d.Time.UTC(), Key: string(d.Original.Key), CutFrom: d.TruncatedFrom,
		Topic: d.Original.Topic, Partition: d.Original.Partition, Offset: d.Original.Offset, Letter: d.Position(),
	}
	if !d.Original.Time.IsZero() {
		line.Produced = d.Original.Time.UTC()
	}
	if utf8.Valid(d.Original.Value) {
		line.Value = string(d.Original.Value)
	} else {
		line.ValueBase64 = d.Original.Value
	}
	for _, h := range d.Original.Headers {
		if line.Headers == nil {
			line.Headers = make(map[string]string)
		}
		line.Headers[h.Key] = string(h.Value)
	}
	return line
}
