package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v3"
	"golang.org/x/term"
)

// progress is a bar on a terminal and a log line now and then elsewhere.
type progress struct {
	out   io.Writer
	every time.Duration // between two log lines for machines; 0 for people
	bar   *progressbar.ProgressBar
	stage string
	unit  string // of steps, where they have one
	done  int
	steps int
	// before is what an earlier run had done.
	before int
	since  time.Time
	said   time.Time
}

// Between two log lines of a stage, for people and for machines.
const (
	logInterval     = 15 * time.Second
	machineInterval = time.Second
)

// chosenProgress is what --progress asks for. For machines, all that is logged is JSON, too.
func chosenProgress(cmd *cli.Command) (*progress, error) {
	if cmd.String("progress") != "json" {
		return newProgress(os.Stderr), nil
	}
	options, err := logOptions(cmd)
	if err != nil {
		return nil, err
	}
	logThrough(slog.NewJSONHandler(os.Stderr, options))
	return &progress{every: machineInterval}, nil
}

func newProgress(out *os.File) *progress {
	p := &progress{}
	if term.IsTerminal(int(out.Fd())) {
		p.out = out
	}
	return p
}

// newLoggedProgress is for work beside which other lines are printed.
func newLoggedProgress() *progress { return &progress{} }

// Start begins a stage, some steps of which were done before.
func (p *progress) Start(stage string, steps, done int) {
	p.stage, p.steps, p.done, p.before = stage, steps, done, done
	p.since, p.said = time.Now(), time.Now()
	if p.out != nil {
		p.bar = progressbar.NewOptions(steps,
			progressbar.OptionSetWriter(p.out), progressbar.OptionSetDescription(stage),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(cmp.Or(p.unit, "steps")),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionFullWidth())
		_ = p.bar.Set(done)
	} else if p.every > 0 {
		slog.Info("progress", "stage", stage, "step", done, "of", steps)
	}
}

// Step ends a step; a loss of 0 is not shown.
func (p *progress) Step(loss float64) {
	p.done++
	if p.bar != nil {
		if loss > 0 {
			p.bar.Describe(fmt.Sprintf("%s, loss %.3f", p.stage, loss))
		}
		_ = p.bar.Add(1) // a bar that cannot be drawn is no reason to stop
		return
	}
	if time.Since(p.said) >= cmp.Or(p.every, logInterval) || p.done >= p.steps {
		p.log(loss)
	}
}

func (p *progress) log(loss float64) {
	p.said = time.Now()
	left := time.Duration(float64(time.Since(p.since)) / float64(p.done-p.before) * float64(p.steps-p.done))
	attributes := []any{"stage", p.stage, "step", p.done, "of", p.steps}
	if p.every > 0 {
		attributes = append(attributes, "left_s", left.Seconds())
	} else {
		attributes = append(attributes, "left", left.Round(time.Second))
	}
	if loss > 0 {
		attributes = append(attributes, "loss", math.Round(1000*loss)/1000)
	}
	slog.Info("progress", attributes...)
}

// patience is how long work of an unknown length may take before a bar is drawn for it.
const patience = time.Second

// Reached tells how much is done of work whose end is not known.
func (p *progress) Reached(stage, what string, done int64) {
	if p.stage == "" {
		p.stage, p.since, p.said = stage, time.Now(), time.Now()
	}
	switch {
	case p.out == nil && time.Since(p.said) >= logInterval:
		p.said = time.Now()
		slog.Info("progress", "stage", stage, what, done)
	case p.out != nil && p.bar == nil && time.Since(p.since) >= patience:
		p.bar = progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(p.out), progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionFullWidth())
	}
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("%s: %d %s", stage, done, what))
		_ = p.bar.Set64(done) // a bar that cannot be drawn is no reason to stop
	}
}

// counting is for those who tell of one after the other.
func (p *progress) counting(stage, what string) func() {
	var done int64
	return func() {
		done++
		p.Reached(stage, what, done)
	}
}

// Finish ends the stage.
func (p *progress) Finish() {
	if p.bar != nil {
		fmt.Fprintln(p.out)
		p.bar = nil
	}
}
