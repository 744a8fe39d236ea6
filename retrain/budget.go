package retrain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/dustin/go-humanize"

	"genrec/model"
	"genrec/model/libtorch"
)

// Budget limits a training; 0 is no limit. When steps or time are exhausted, the best epoch so far becomes
// the model: both limit the stages pretrain and finetune, not the evaluation and publication.
type Budget struct {
	// Steps is the maximum number of optimizer steps of all stages together. Each stage gets its share,
	// over which the learning rate decays.
	Steps int
	// Time is the maximum time since the training began, including earlier attempts. The learning rate
	// decays over the number of steps that are expected to fit, so that the model depends on the
	// speed of the machine.
	Time time.Duration
	// Memory is the maximum resident memory of the process, in bytes. A training that exceeds it stops
	// after a checkpoint with ErrMemory.
	Memory uint64
}

// ErrMemory reports that the process has exceeded the memory budget.
var ErrMemory = errors.New("the training exceeds its memory limit (--max-memory)")

// ErrSharedTime reports that a time budget is set for a distributed training.
var ErrSharedTime = errors.New("max time: not supported with several processes, whose clocks would disagree on the last step; use max steps")

func (c Config) validateBudget() error {
	var errs []error
	if c.Budget.Steps < 0 {
		errs = append(errs, fmt.Errorf("max steps: %d is negative", c.Budget.Steps))
	}
	if c.Budget.Time < 0 {
		errs = append(errs, fmt.Errorf("max time: %v is negative", c.Budget.Time))
	}
	if c.Budget.Time > 0 && c.Group != nil {
		errs = append(errs, ErrSharedTime)
	}
	return errors.Join(errs...)
}

// limitSteps reduces the planned steps of the stages in proportion, so that their sum fits the budget.
func (b Budget) limitSteps(stages []stage) {
	planned := 0
	for _, s := range stages {
		planned += s.steps
	}
	left := b.Steps
	if left == 0 || left >= planned {
		return
	}
	for i := range stages {
		s := &stages[i]
		steps := s.steps * left / max(1, planned)
		planned -= s.steps
		left -= steps
		s.steps = steps
	}
}

// timeBudget limits a stage to the number of steps that fit into its time.
type timeBudget struct {
	until   time.Time     // end of the stage; zero without a limit
	from    int           // first step that is measured
	since   time.Time     // start of that step
	reserve time.Duration // time needed after the last step, for validation
}

// timeBudget divides the remaining time among the current and the following stages, in proportion to
// their remaining steps.
func (t *training) timeBudget(done int) (p timeBudget) {
	if t.config.Budget.Time == 0 {
		return p
	}
	steps := t.stages[t.state.Stage].steps - done
	all := steps
	for _, later := range t.stages[t.state.Stage+1:] {
		all += later.steps
	}
	left := t.config.Budget.Time - time.Since(t.since)
	p.until = time.Now().Add(time.Duration(float64(left) * float64(steps) / float64(max(1, all))))
	p.from = done + 1 // the first step is slower: it starts threads, loads kernels and allocates memory
	return p
}

// steps returns the number of the planned steps for which there is time, after those done.
func (p *timeBudget) steps(done, planned int, now time.Time) int {
	switch {
	case p.until.IsZero() || done < p.from:
		return planned
	case !now.Before(p.until.Add(-p.reserve)):
		return done
	case done == p.from:
		p.since = now
		return planned
	case done < p.from+stepsPerPoint-1: // too few for an estimate
		return planned
	}
	perStep := now.Sub(p.since).Seconds() / float64(done-p.from)
	return min(planned, done+max(1, int(p.until.Add(-p.reserve).Sub(now).Seconds()/perStep)))
}

// cutShort records and logs that a stage has run out of time.
func (t *training) cutShort(ctx context.Context, s stage, done int) {
	if t.isWorker() {
		return
	}
	t.state.CutShort = append(t.state.CutShort, s.name)
	t.config.Logger.InfoContext(ctx, "stage ends early: its time is exhausted", "stage", s.name, "steps", done, "planned", s.steps)
}

// checkMemory returns ErrMemory if the process exceeds the budget after releasing unused memory.
func (c Config) checkMemory() error {
	if c.Budget.Memory == 0 {
		return nil
	}
	for attempt := 0; ; attempt++ {
		resident, err := residentMemory()
		if err != nil || resident <= c.Budget.Memory {
			return err
		}
		if attempt > 0 {
			return fmt.Errorf("%w: %s resident, limit %s; resume from the last checkpoint with a higher limit, or train with a smaller batch_size, d_model or history",
				ErrMemory, humanize.IBytes(resident), humanize.IBytes(c.Budget.Memory))
		}
		debug.FreeOSMemory() // freed memory that the runtime still holds does not count
		libtorch.ReleaseMemory()
	}
}

// residentMemory returns the resident memory of this process, in bytes.
func residentMemory() (uint64, error) {
	const file = "/proc/self/statm"
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read the resident memory: %w", err)
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, fmt.Errorf("read the resident memory in %s: %w", file, err)
	}
	return resident * uint64(os.Getpagesize()), nil
}

// hasStepLeft reports whether the stage has a step left, and makes the learning rate decay over its
// expected number of steps.
func (t *training) hasStepLeft(trainer *model.Trainer, s stage, p *timeBudget, done int) bool {
	steps := p.steps(done, s.steps, time.Now())
	if done%stepsPerPoint == 0 || steps <= done {
		trainer.SetSteps(steps)
	}
	return done < steps
}
