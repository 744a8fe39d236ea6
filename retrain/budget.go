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

// Budget is what a training may use up; 0 is no bound. When steps or time are used up, the
// best epoch so far is the model: both bound the stages, not the evaluation and what follows.
type Budget struct {
	// Steps of the optimizer, of all stages together. Each gets its part, and the learning
	// rate falls over it.
	Steps int
	// Time since the training began, with that of the attempts before this one. The learning
	// rate falls over the steps that there seems to be time for, so that the model depends on
	// how fast the machine is.
	Time time.Duration
	// Memory of the process that may be resident, in bytes. A training that needs more stops
	// after a checkpoint with ErrMemory.
	Memory uint64
}

// ErrMemory says that the process has taken more memory than the training was allowed.
var ErrMemory = errors.New("the training takes more memory than it may (--max-memory)")

// ErrSharedTime says that a bound of time is for one process.
var ErrSharedTime = errors.New("max time: several processes would not agree on when it is over; max steps bounds them")

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

// share gives each stage its part of the steps, as it was planned.
func (b Budget) share(stages []stage) {
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
		part := s.steps * left / max(1, planned)
		planned -= s.steps
		left -= part
		s.steps = part
	}
}

// timeBudget says how many steps a stage has time for.
type timeBudget struct {
	until   time.Time // the end of its time; zero if there is none
	from    int       // the step from which on its steps are timed
	since   time.Time // of that step
	reserve time.Duration
}

// timeBudget gives the stage that the training is in a part of the time that is left, by the steps
// that are left to it and to those after it.
func (t *training) timeBudget(done int) (p timeBudget) {
	if t.config.Budget.Time == 0 {
		return p
	}
	mine := t.stages[t.at.Stage].steps - done
	all := mine
	for _, later := range t.stages[t.at.Stage+1:] {
		all += later.steps
	}
	left := t.config.Budget.Time - time.Since(t.since)
	p.until = time.Now().Add(time.Duration(float64(left) * float64(mine) / float64(max(1, all))))
	p.from = done + 1 // the first one takes longer: threads, kernels, memory
	return p
}

// steps of the stage there is time for, of those planned: one at least.
func (p *timeBudget) steps(done, planned int, now time.Time) int {
	switch {
	case p.until.IsZero() || done < p.from:
		return planned
	case !now.Before(p.until.Add(-p.reserve)):
		return done
	case done == p.from:
		p.since = now
		return planned
	case done < p.from+stepsPerPoint-1: // too few to tell
		return planned
	}
	each := now.Sub(p.since).Seconds() / float64(done-p.from)
	return min(planned, done+max(1, int(p.until.Add(-p.reserve).Sub(now).Seconds()/each)))
}

// cutShort records and logs that a stage has ended early.
func (t *training) cutShort(ctx context.Context, s stage, done int) {
	if t.isWorker() {
		return
	}
	t.at.CutShort = append(t.at.CutShort, s.name)
	t.config.Logger.InfoContext(ctx, "the time of a stage is used up: it ends here", "stage", s.name, "steps", done, "planned", s.steps)
}

// checkMemory refuses to go on with more than the budget.
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
			return fmt.Errorf("%w: %s are resident, %s allowed; allow more to go on from the last checkpoint, or train with a smaller batch_size, d_model or history",
				ErrMemory, humanize.IBytes(resident), humanize.IBytes(c.Budget.Memory))
		}
		debug.FreeOSMemory() // what is only not given back does not count
		libtorch.ReleaseMemory()
	}
}

// residentMemory of this process, in bytes.
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

// hasStepLeft says whether the stage has a step left, and lets the learning rate fall over those
// that it has.
func (t *training) hasStepLeft(trainer *model.Trainer, s stage, p *timeBudget, done int) bool {
	steps := p.steps(done, s.steps, time.Now())
	if done%stepsPerPoint == 0 || steps <= done {
		trainer.SetSteps(steps)
	}
	return done < steps
}
