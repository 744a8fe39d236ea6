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

// progress shows how far work is: a bar on a terminal, else log lines.
type progress struct {
	out       io.Writer     // the terminal; nil: log lines
	every     time.Duration // between two log lines for machines; 0: log lines are for people
	bar       *progressbar.ProgressBar
	stage     string
	unit      string // of a step; empty: "steps"
	done      int
	steps     int
	doneFirst int // steps that an earlier run had done
	started   time.Time
	logged    time.Time
}

// Intervals between two log lines of a stage.
const (
	logInterval     = 15 * time.Second // for people
	machineInterval = time.Second      // for machines
)

// chosenProgress returns the progress that --progress names. With "json", all log messages are
// JSON, too.
func chosenProgress(cmd *cli.Command) (*progress, error) {
	if cmd.String("progress") != "json" {
		return newProgress(os.Stderr), nil
	}
	options, err := logOptions(cmd)
	if err != nil {
		return nil, err
	}
	setLogHandler(slog.NewJSONHandler(os.Stderr, options))
	return &progress{every: machineInterval}, nil
}

func newProgress(out *os.File) *progress {
	p := &progress{}
	if term.IsTerminal(int(out.Fd())) {
		p.out = out
	}
	return p
}

// newLoggedProgress is for work during which other lines are printed.
func newLoggedProgress() *progress { return &progress{} }

// Start begins a stage; done is the number of steps that an earlier run has done.
func (p *progress) Start(stage string, steps, done int) {
	p.stage, p.steps, p.done, p.doneFirst = stage, steps, done, done
	p.started, p.logged = time.Now(), time.Now()
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
		_ = p.bar.Add(1) // the work goes on without the bar
		return
	}
	if time.Since(p.logged) >= cmp.Or(p.every, logInterval) || p.done >= p.steps {
		p.log(loss)
	}
}

func (p *progress) log(loss float64) {
	p.logged = time.Now()
	left := time.Duration(float64(time.Since(p.started)) / float64(p.done-p.doneFirst) * float64(p.steps-p.done))
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

// barDelay is how long work of unknown length runs before it gets a bar.
const barDelay = time.Second

// Reached shows how much is done of work of unknown length; what names what done counts.
func (p *progress) Reached(stage, what string, done int64) {
	if p.stage == "" {
		p.stage, p.started, p.logged = stage, time.Now(), time.Now()
	}
	switch {
	case p.out == nil && time.Since(p.logged) >= logInterval:
		p.logged = time.Now()
		slog.Info("progress", "stage", stage, what, done)
	case p.out != nil && p.bar == nil && time.Since(p.started) >= barDelay:
		p.bar = progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(p.out), progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionFullWidth())
	}
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("%s: %d %s", stage, done, what))
		_ = p.bar.Set64(done) // the work goes on without the bar
	}
}

// counter returns a function that counts one more at each call.
func (p *progress) counter(stage, what string) func() {
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
