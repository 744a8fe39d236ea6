package stream

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

func TestPrintDeadLetters(t *testing.T) {
	d := DeadLetter{
		Reason: "not_json", Detail: "a\x1b[31mdetail", Time: time.Unix(1_750_000_000, 0), Topic: "interactions.dead", Partition: 2, Offset: 7,
		Original: kafka.Message{
			Topic: "interactions", Partition: 1, Offset: 9, Key: []byte("ann"), Value: []byte("\xff{"),
			Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}},
		},
	}
	var table, lines strings.Builder
	for _, p := range []DeadLetterPrinter{NewDeadLetterTable(&table), NewDeadLetterJSON(&lines)} {
		for range 2 {
			if err := p.Print(d); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(true); err != nil {
			t.Fatal(err)
		}
	}
	if want := "2025-06-15T15:06:40Z  not_json  ann  interactions/1/9  a\\x1b[31mdetail\n"; strings.Count(table.String(), want) != 2 || !strings.HasPrefix(table.String(), "WRITTEN ") {
		t.Errorf("the table is\n%s\nwant a heading and twice\n%s", table.String(), want)
	}
	first, _, _ := strings.Cut(lines.String(), "\n")
	var got deadLetterJSON
	if err := json.Unmarshal([]byte(first), &got); err != nil || string(got.ValueBase64) != "\xff{" || got.Headers["trace"] != "abc" || got.Offset != 9 || !strings.HasSuffix(first, `"letter":"interactions.dead/2/7"}`) {
		t.Errorf("got %s (error %v), want the whole dead letter", first, err)
	}
}

// Only if all dead letters were read is it certain that there are none.
func TestNoDeadLetters(t *testing.T) {
	for complete, want := range map[bool]string{true: "no dead letters\n", false: ""} {
		var out strings.Builder
		if err := NewDeadLetterTable(&out).Close(complete); err != nil || out.String() != want {
			t.Errorf("complete %v: printed %q (error %v), want %q", complete, out.String(), err, want)
		}
	}
}
