package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"genrec/test/harness"
)

const (
	stageMetric = "genrec_inference_stage_seconds" // histogram by stage
	batchMetric = "genrec_inference_batch_seconds" // histogram
	usersMetric = "genrec_inference_batch_users"   // histogram
)

// sums has the _sum and _count of a histogram.
type sums struct{ sum, count float64 }

// histograms has the sums of histograms by name, and those of stages by stage.
type histograms map[string]sums

// read adds the histograms of the breakdown in a text in the Prometheus exposition format.
func (h histograms) read(text io.Reader) error {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		series, value, found := cutLast(lines.Text(), " ")
		if !found || strings.HasPrefix(series, "#") {
			continue
		}
		name, labels, _ := strings.Cut(series, "{")
		base, isSum := strings.CutSuffix(name, "_sum")
		base, isCount := strings.CutSuffix(base, "_count")
		if !isSum && !isCount || base != stageMetric && base != batchMetric && base != usersMetric {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("read the metric %q: %w", lines.Text(), err)
		}
		key := base
		if base == stageMetric {
			_, label, _ := strings.Cut(labels, `stage="`)
			key, _, _ = strings.Cut(label, `"`)
		}
		s := h[key]
		if isSum {
			s.sum += number
		} else {
			s.count += number
		}
		h[key] = s
	}
	return lines.Err()
}

func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}

// breakdown measures the time that infer processes spend in each stage of a batch.
type breakdown struct {
	addresses     []string // of their metrics
	before, after histograms
	began         time.Time
	wall          time.Duration
}

func (b *breakdown) begin(ctx context.Context) (err error) {
	b.began = time.Now()
	b.before, err = scrape(ctx, b.addresses)
	return err
}

func (b *breakdown) end(ctx context.Context) (err error) {
	b.wall = time.Since(b.began)
	b.after, err = scrape(ctx, b.addresses)
	return err
}

// scrape returns the sums over all processes.
func scrape(ctx context.Context, addresses []string) (histograms, error) {
	h := make(histograms)
	for _, address := range addresses {
		body, err := harness.Get(ctx, "http://"+address+"/metrics")
		if err != nil {
			return nil, err
		}
		if err := errors.Join(h.read(body), body.Close()); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// stageOrder is the order of the stages of a batch. Unknown stages follow, sorted by name.
var stageOrder = []string{"read", "prepare", "device", "fuse", "write", "commit"}

// String returns a table of the stages, or a line for builds without stages.
func (b *breakdown) String() string {
	since := make(histograms)
	for name, after := range b.after {
		if d := (sums{after.sum - b.before[name].sum, after.count - b.before[name].count}); d.count > 0 {
			since[name] = d
		}
	}
	batches, users := since[batchMetric], since[usersMetric]
	if batches.count == 0 {
		return "no batches\n"
	}
	wall := b.wall.Seconds() * float64(len(b.addresses))
	var text strings.Builder
	fmt.Fprintf(&text, "%.0f batches of %.1f users on average, %.1f ms each, busy %.0f %% of the time\n",
		batches.count, users.sum/users.count, 1000*batches.sum/batches.count, 100*batches.sum/wall)
	delete(since, batchMetric)
	delete(since, usersMetric)
	if len(since) == 0 {
		text.WriteString("no stages: this build has no metric " + stageMetric + "\n")
		return text.String()
	}
	text.WriteString("| stage | ms per batch | busy |\n| --- | --- | --- |\n")
	for _, name := range inOrder(since) {
		s := since[name]
		fmt.Fprintf(&text, "| %s | %.2f | %.0f %% |\n", name, 1000*s.sum/s.count, 100*s.sum/wall)
	}
	return text.String()
}

func inOrder(stages histograms) (names []string) {
	for _, name := range stageOrder {
		if _, found := stages[name]; found {
			names = append(names, name)
		}
	}
	var others []string
	for name := range stages {
		if !slices.Contains(stageOrder, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return append(names, others...)
}
