package playground

import (
	"context"
	"time"
)

// Progress receives the progress of a training: retrain.Progress has the same methods.
type Progress interface {
	Start(stage string, steps, done int)
	Step(loss float64)
	Finish()
}

// training is the state of the running training, or of the last one.
type training struct {
	running bool
	started time.Time
	outcome string
	failed  bool
	stage   string
	done    int
	steps   int
	losses  []stageLosses
	sent    time.Time // when the state was last sent to the pages
}

type stageLosses struct {
	stage string
	curve curve
}

const (
	maxStages = 6
	sendEvery = 200 * time.Millisecond
)

// Train runs a training and shows it on the page. It waits until no other training runs, or
// ctx ends.
func (p *Playground) Train(ctx context.Context, train func(context.Context) (outcome string, err error)) error {
	select {
	case p.trainLock <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer p.unlockTraining()
	return p.train(ctx, train)
}

// requestTraining makes Run start a training, unless one is already running.
func (p *Playground) requestTraining() bool {
	select {
	case p.trainLock <- struct{}{}:
		p.requested <- struct{}{} // does not block: trainLock admits one request
		return true
	default:
		return false
	}
}

func (p *Playground) unlockTraining() { <-p.trainLock }

func (p *Playground) train(ctx context.Context, train func(context.Context) (string, error)) error {
	p.change(func(t *training) { *t = training{running: true, started: time.Now(), stage: "preparing"} })
	outcome, err := train(ctx)
	if err != nil {
		outcome = "Training failed: " + err.Error()
	}
	p.change(func(t *training) { t.running, t.outcome, t.failed = false, outcome, err != nil })
	return err
}

// Progress returns a Progress that updates the page and forwards to next.
func (p *Playground) Progress(next Progress) Progress { return &progress{p, next} }

type progress struct {
	page *Playground
	next Progress
}

func (f *progress) Start(stage string, steps, done int) {
	f.page.change(func(t *training) { t.stage, t.steps, t.done = stage, steps, done })
	f.next.Start(stage, steps, done)
}

func (f *progress) Step(loss float64) {
	f.page.step(loss)
	f.next.Step(loss)
}

func (f *progress) Finish() { f.next.Finish() }

func (p *Playground) change(change func(*training)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.training)
	p.sendTraining()
}

func (p *Playground) step(loss float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.training
	t.done++
	if loss > 0 {
		if n := len(t.losses); n == 0 || t.losses[n-1].stage != t.stage {
			t.losses = last(append(t.losses, stageLosses{stage: t.stage}), maxStages)
		}
		t.losses[len(t.losses)-1].curve.add(loss)
	}
	if time.Since(t.sent) >= sendEvery {
		p.sendTraining()
	}
}

func (p *Playground) sendTraining() {
	p.training.sent = time.Now()
	p.broadcast("training", p.trainingState())
}

// trainingMessage is the state of the training as the page receives it.
type trainingMessage struct {
	CanTrain bool        `json:"can_train"`
	Running  bool        `json:"running"`
	Seconds  float64     `json:"seconds"`
	Outcome  string      `json:"outcome"`
	Failed   bool        `json:"failed"`
	Stage    string      `json:"stage"`
	Done     int         `json:"done"`
	Steps    int         `json:"steps"`
	Losses   []lossCurve `json:"losses"`
}

type lossCurve struct {
	Stage  string  `json:"stage"`
	Points []point `json:"points"`
}

func (p *Playground) trainingState() trainingMessage {
	t := p.training
	state := trainingMessage{
		CanTrain: p.cfg.Train != nil, Running: t.running, Outcome: t.outcome, Failed: t.failed,
		Stage: t.stage, Done: t.done, Steps: t.steps, Losses: []lossCurve{},
	}
	if t.running {
		state.Seconds = time.Since(t.started).Seconds()
	}
	for _, l := range t.losses {
		state.Losses = append(state.Losses, lossCurve{l.stage, l.curve.copy()})
	}
	return state
}
