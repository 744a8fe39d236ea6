package stream

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const scraped = `# HELP genrec_inference_batch_seconds Time.
# TYPE genrec_inference_batch_seconds histogram
genrec_inference_batch_seconds_bucket{le="0.05"} 10
genrec_inference_batch_seconds_sum 2
genrec_inference_batch_seconds_count 20
genrec_inference_batch_users_sum 640
genrec_inference_batch_users_count 20
genrec_inference_stage_seconds_sum{stage="device"} 1.5
genrec_inference_stage_seconds_count{stage="device"} 20
genrec_inference_stage_seconds_sum{stage="read"} 0.25
genrec_inference_stage_seconds_count{stage="read"} 20
genrec_inference_stage_seconds_bucket{stage="read",le="+Inf"} 20
process_cpu_seconds_total 12
`

func TestBreakdown(t *testing.T) {
	b := &breakdown{addresses: []string{"one"}, before: histograms{"read": {0.05, 10}}, after: make(histograms), wall: 4 * time.Second}
	if err := b.after.read(strings.NewReader(scraped)); err != nil {
		t.Fatal(err)
	}
	const want = `20 batches of 32.0 users on average, 100.0 ms each, busy 50 % of the time
| stage | ms per batch | busy |
| --- | --- | --- |
| read | 20.00 | 5 % |
| device | 75.00 | 38 % |
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	delete(b.after, "read")
	delete(b.after, "device")
	if got := b.String(); !strings.Contains(got, "no stages") {
		t.Errorf("for a build without stages, got\n%s", got)
	}
}

func TestMeanUtilization(t *testing.T) {
	if got, err := meanUtilization("50\n100\n 0\n\n"); err != nil || got != 0.5 {
		t.Errorf("got %v (error %v), want 0.5", got, err)
	}
	for _, output := range []string{"", "[N/A]\n"} {
		if got, err := meanUtilization(output); err == nil {
			t.Errorf("%q: got %v and no error", output, got)
		}
	}
}

func TestSequenceVersion(t *testing.T) {
	w := &workload{items: []string{"i"}, users: testUsers(1)}
	list, err := w.list(0, "v000001", 42, rand.New(rand.NewPCG(1, 0))).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sequenceVersion(list); err != nil || got != 42 {
		t.Errorf("got %d (error %v) of %s, want 42", got, err, list)
	}
	for _, list := range []string{"{}", `{"sequence_version":"x"}`} {
		if got, err := sequenceVersion([]byte(list)); err == nil {
			t.Errorf("%s: got %d and no error", list, got)
		}
	}
}

func TestDataCommands(t *testing.T) {
	const (
		hello = "*2\r\n$5\r\nhello\r\n$1\r\n3\r\n"
		get   = "*2\r\n$3\r\nget\r\n$7\r\n\r\na*1\r\n\r\n" // a key with line breaks
		mget  = "*3\r\n$4\r\nmget\r\n$1\r\na\r\n$0\r\n\r\n"
	)
	got, err := dataCommands([]byte(hello + get + mget))
	if err != nil || got.commands != 2 || string(got.bytes) != get+mget {
		t.Errorf("got %d commands %q (error %v), want get and mget", got.commands, got.bytes, err)
	}
	if _, err := dataCommands([]byte(get + mget[:10])); err == nil {
		t.Error("want an error for a truncated command")
	}
}

func TestEngineFlags(t *testing.T) {
	infer := strings.Fields("--latency-target 50ms --precision bfloat16 --allow-seen --precision=float32")
	want := strings.Fields("--precision bfloat16 --allow-seen --precision=float32")
	if got := engineFlags(infer); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
