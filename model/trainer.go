package model

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// TrainerConfig are the settings of one training stage.
type TrainerConfig struct {
	// Steps is the number of optimizer steps of the stage; the learning rate warms
	// up over the first WarmUp share of them and falls to zero at the end.
	Steps        int
	LearningRate float64
	WarmUp       float64
	WeightDecay  float64
	// ClipNorm bounds the norm of the gradients of all weights together.
	ClipNorm float64
	// DenseLoss is the weight of the dense head's cross-entropy over all items, beside
	// that of the text; 0 leaves the head out.
	DenseLoss float64
	// Seed of the dropout masks.
	Seed int64
	// BFloat16 computes matrix products in bfloat16; weights and sums stay float32.
	BFloat16 bool
	// Prepare runs at the start of every thread that the trainer makes.
	Prepare func()
}

// Trainer runs optimizer steps on a model that the caller's goroutine owns.
type Trainer struct {
	config    TrainerConfig
	model     *Model
	workers   []*worker
	crew      crew // a thread for each worker, or none for the only one
	optimizer *tensor.AdamW
	moments   *graph
	means     []*tensor.Tensor // by trained weight
	squares   []*tensor.Tensor
	step      int
}

// ErrDiverged says that the loss is no longer a number.
var ErrDiverged = errors.New("training diverged")

const adamBeta1, adamBeta2 = 0.9, 0.999

// NewTrainer starts a stage with a fresh AdamW state.
func NewTrainer(m *Model, c TrainerConfig) (t *Trainer, err error) {
	defer tensor.Catch(&err)
	t = &Trainer{config: c, model: m, moments: newGraph(m.device)}
	var replicas [][]*tensor.Tensor
	threads := trainingThreads(m)
	if m.Config.AttentionDropout > 0 {
		// Its masks come from libtorch's one generator, which threads would reach in any order.
		threads = 0
	}
	if t.crew, err = newCrew(m.device, threads, c.Prepare); err != nil {
		return nil, err
	}
	for range max(1, threads) {
		w := newWorker(m, c.BFloat16)
		t.workers = append(t.workers, w)
		replicas = append(replicas, w.weights.trained())
	}
	t.optimizer = tensor.NewAdamW(m.weights.trained(), replicas, len(t.workers), adamBeta1, adamBeta2, c.WeightDecay)
	t.means, t.squares = t.optimizer.Moments(&t.moments.Scope)
	return t, nil
}

// Step learns from a batch and returns its mean loss in nats: per target token, and per
// item for the dense head times its weight.
func (t *Trainer) Step(batch []examples.Example) (loss float64, err error) {
	defer tensor.Catch(&err)
	if loss, err = t.gradients(batch); err != nil {
		return loss, err
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, fmt.Errorf("step %d of %d, loss %v: %w", t.step+1, t.config.Steps, loss, ErrDiverged)
	}
	if err := t.update(); err != nil {
		return loss, err
	}
	if t.step++; t.step%stepsBetweenReleases == 0 {
		libtorch.ReleaseMemory()
	}
	return loss, nil
}

// stepsBetweenReleases keeps the memory of a training at about that of its longest
// batch; a release takes milliseconds.
const stepsBetweenReleases = 100

// update applies the workers' gradients, scaled down together to ClipNorm where their
// norm is larger.
func (t *Trainer) update() error {
	t.optimizer.Begin()
	norms := make([]float64, len(t.workers))
	if err := t.crew.each(len(t.workers), func(i int) { norms[i] = t.optimizer.Gather(i) }); err != nil {
		return err
	}
	squared := 0.0
	for _, n := range norms {
		squared += n
	}
	const tiny = 1e-6 // as torch.nn.utils.clip_grad_norm_
	rate, scale := t.Rate(), min(1, t.config.ClipNorm/(math.Sqrt(squared)+tiny))
	return t.crew.each(len(t.workers), func(i int) { t.optimizer.Apply(i, rate, scale) })
}

// gradients lets the workers compute those of their shares, side by side.
func (t *Trainer) gradients(batch []examples.Example) (loss float64, err error) {
	// Each step has random numbers of its own, so that a resumed training drops out
	// the same.
	random := rand.New(rand.NewPCG(uint64(t.config.Seed), uint64(t.step)))
	libtorch.Seed(random.Int64())
	parts := split(batch, len(t.workers))
	tokens := 0
	for _, e := range batch {
		tokens += len(e.Labels)
	}
	shares := make([]share, len(parts))
	for i, part := range parts {
		shares[i] = share{batch: part, rows: len(batch), tokens: tokens, dense: t.config.DenseLoss, random: random.Uint64()}
	}
	losses := make([]float64, len(parts))
	err = t.crew.each(len(parts), func(i int) { losses[i] = t.workers[i].gradients(shares[i]) })
	for _, l := range losses {
		loss += l
	}
	return loss, err
}

// split cuts a batch into as many parts of about equally many tokens as there are
// workers. Batches are sorted by length, so neighbors need little padding.
func split(batch []examples.Example, workers int) [][]examples.Example {
	total := examples.Tokens(batch)
	parts := make([][]examples.Example, 0, workers)
	from, tokens := 0, 0
	for i := range batch {
		tokens += examples.Tokens(batch[i : i+1])
		left := len(batch) - i - 1
		missing := workers - len(parts) - 1
		if left > 0 && missing > 0 && (tokens*workers >= total*(len(parts)+1) || left == missing) {
			parts = append(parts, batch[from:i+1])
			from = i + 1
		}
	}
	return append(parts, batch[from:])
}

// Rate is the learning rate of the next step: linear warm-up, linear decay.
func (t *Trainer) Rate() float64 {
	warmUp := max(1, t.config.WarmUp*float64(t.config.Steps))
	done := float64(t.step)
	left := float64(t.config.Steps) - done
	return t.config.LearningRate * min((done+1)/warmUp, max(0, left)/max(1, float64(t.config.Steps)-warmUp))
}

// Close frees the optimizer's state and the workers.
func (t *Trainer) Close() (err error) {
	defer tensor.Catch(&err)
	t.moments.Free()
	t.optimizer.Drop()
	t.crew.close()
	for _, w := range t.workers {
		w.weights.drop()
	}
	return nil
}
