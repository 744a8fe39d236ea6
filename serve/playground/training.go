package playground

import (
	"context"
	"time"
)

// Progress is told how far a training is: retrain's.
type Progress interface {
	Start(stage string, steps, done int)
	Step(loss float64)
	Finish()
}

// training is the one that runs, or the last one.
type training struct {
	running bool
	began   time.Time
	outcome string
	failed  bool
	stage   string
	done    int
	steps   int
	losses  []stageLosses
	told    time.Time
}

type stageLosses struct {
	stage string
	curve curve
}

const (
	maxStages = 6
	tellEvery = 200 * time.Millisecond
)

// Train waits until no other training runs, and shows this one.
func (p *Playground) Train(ctx context.Context, train func(context.Context) (outcome string, err error)) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer p.endTurn()
	return p.train(ctx, train)
}

// want lets Run train, unless another training runs.
func (p *Playground) want() bool {
	select {
	case p.turn <- struct{}{}:
		p.wanted <- struct{}{} // has room, as it takes the turn
		return true
	default:
		return false
	}
}

func (p *Playground) endTurn() { <-p.turn }

func (p *Playground) train(ctx context.Context, train func(context.Context) (string, error)) error {
	p.change(func(t *training) { *t = training{running: true, began: time.Now(), stage: "getting ready"} })
	outcome, err := train(ctx)
	if err != nil {
		outcome = "No model was made: " + err.Error()
	}
	p.change(func(t *training) { t.running, t.outcome, t.failed = false, outcome, err != nil })
	return err
}

// Progress returns one that also tells shown.
func (p *Playground) Progress(shown Progress) Progress { return &progress{p, shown} }

type progress struct {
	page  *Playground
	shown Progress
}

func (w *progress) Start(stage string, steps, done int) {
	w.page.change(func(t *training) { t.stage, t.steps, t.done = stage, steps, done })
	w.shown.Start(stage, steps, done)
}

func (w *progress) Step(loss float64) {
	w.page.step(loss)
	w.shown.Step(loss)
}

func (w *progress) Finish() { w.shown.Finish() }

func (p *Playground) change(change func(*training)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.training)
	p.tellTraining()
}

func (p *Playground) step(loss float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.training
	t.done++
	if loss > 0 {
		if n := len(t.losses); n == 0 || t.losses[n-1].stage != t.stage {
			t.losses = latest(append(t.losses, stageLosses{stage: t.stage}), maxStages)
		}
		t.losses[len(t.losses)-1].curve.add(loss)
	}
	if time.Since(t.told) >= tellEvery {
		p.tellTraining()
	}
}

func (p *Playground) tellTraining() {
	p.training.told = time.Now()
	p.broadcast("training", p.trainingNow())
}

// trainingState is what the page is told.
type trainingState struct {
	CanTrain bool         `json:"can_train"`
	Running  bool         `json:"running"`
	Seconds  float64      `json:"seconds"`
	Outcome  string       `json:"outcome"`
	Failed   bool         `json:"failed"`
	Stage    string       `json:"stage"`
	Done     int          `json:"done"`
	Steps    int          `json:"steps"`
	Losses   []lossesCopy `json:"losses"`
}

type lossesCopy struct {
	Stage  string  `json:"stage"`
	Points []point `json:"points"`
}

func (p *Playground) trainingNow() trainingState {
	t := p.training
	state := trainingState{
		CanTrain: p.cfg.Train != nil, Running: t.running, Outcome: t.outcome, Failed: t.failed,
		Stage: t.stage, Done: t.done, Steps: t.steps, Losses: []lossesCopy{},
	}
	if t.running {
		state.Seconds = time.Since(t.began).Seconds()
	}
	for _, l := range t.losses {
		state.Losses = append(state.Losses, lossesCopy{l.stage, l.curve.copy()})
	}
	return state
}
