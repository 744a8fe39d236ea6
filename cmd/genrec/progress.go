package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress is a bar on a terminal and a log line now and then elsewhere.
type progress struct {
	out   io.Writer
	bar   *progressbar.ProgressBar
	stage string
	done  int
	steps int
	// before is what an earlier run had done.
	before int
	since  time.Time
	said   time.Time
}

// between two log lines of a stage.
const logInterval = 15 * time.Second

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
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("steps"),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionFullWidth())
		_ = p.bar.Set(done)
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
	if time.Since(p.said) < logInterval && p.done < p.steps {
		return
	}
	p.said = time.Now()
	left := time.Duration(float64(time.Since(p.since)) / float64(p.done-p.before) * float64(p.steps-p.done))
	attributes := []any{"stage", p.stage, "step", p.done, "of", p.steps, "left", left.Round(time.Second)}
	if loss > 0 {
		attributes = append(attributes, "loss", fmt.Sprintf("%.3f", loss))
	}
	slog.Info("progress", attributes...)
}

// Finish ends the stage.
func (p *progress) Finish() {
	if p.bar != nil {
		fmt.Fprintln(p.out)
		p.bar = nil
	}
}
