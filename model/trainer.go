package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"

	"genrec/model/dist"
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
	// Cores that the training may take of the CPU; 0 is all.
	Cores int
	// Group is the processes that train the model together, each on its part of every
	// batch; nil for one alone.
	Group *dist.Group
	// OnThreadStart runs at the start of every thread that the trainer makes.
	OnThreadStart func()
}

// Trainer runs optimizer steps on a model that the caller's goroutine owns.
type Trainer struct {
	config    TrainerConfig
	model     *Model
	workers   []*worker
	first     int  // of the workers of all ranks, this one's begin there
	everyone  int  // the workers of all ranks
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
	cores := cmp.Or(c.Cores, runtime.NumCPU())
	threads := threadsOn(cores, m)
	if c.Cores > 0 && m.device == CPU {
		if err := libtorch.UseThreads(c.Cores); err != nil {
			return nil, err
		}
	}
	if m.Config.AttentionDropout > 0 {
		// Its masks come from libtorch's one generator, which threads would reach in any order.
		threads = 0
	}
	if t.crew, err = newCrew(m.device, threads, c.OnThreadStart); err != nil {
		return nil, err
	}
	for range max(1, threads) {
		w := newWorker(m, c.BFloat16)
		t.workers = append(t.workers, w)
		replicas = append(replicas, w.weights.trained())
	}
	t.optimizer = tensor.NewAdamW(m.weights.trained(), replicas, len(t.workers), adamBeta1, adamBeta2, c.WeightDecay)
	t.means, t.squares = t.optimizer.Moments(&t.moments.Scope)
	if err := t.findPlace(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// findPlace numbers the workers of all ranks through.
func (t *Trainer) findPlace() error {
	t.everyone = len(t.workers)
	if t.config.Group == nil {
		return nil
	}
	counts, err := t.config.Group.AllGather(len(t.workers))
	if err != nil {
		return err
	}
	t.everyone = 0
	for rank, count := range counts {
		if rank == t.config.Group.Rank {
			t.first = t.everyone
		}
		t.everyone += count
	}
	return nil
}

// Step learns from a batch and returns its mean loss in nats: per target token, and per
// item for the dense head times its weight.
func (t *Trainer) Step(batch []examples.Example) (loss float64, err error) {
	defer tensor.Catch(&err)
	if loss, err = t.gradients(batch); err != nil {
		return loss, err
	}
	if t.config.Group != nil {
		if loss, err = t.config.Group.SumLoss(loss); err != nil {
			return loss, err
		}
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

// update applies the gradients of all workers, scaled down together to ClipNorm where
// their norm is larger.
func (t *Trainer) update() error {
	t.optimizer.Begin(t.config.Group != nil)
	norms := make([]float64, len(t.workers))
	if err := t.crew.all(len(t.workers), func(i int) { norms[i] = t.optimizer.Gather(i) }); err != nil {
		return err
	}
	if t.config.Group != nil {
		g := newGraph(t.model.device)
		defer g.Free()
		if err := t.config.Group.AllReduce(t.optimizer.Gradients(&g.Scope)); err != nil {
			return err
		}
		if err := t.crew.all(len(t.workers), func(i int) { norms[i] = t.optimizer.Norm(i) }); err != nil {
			return err
		}
	}
	squared := 0.0
	for _, n := range norms {
		squared += n
	}
	const tiny = 1e-6 // as torch.nn.utils.clip_grad_norm_
	rate, scale := t.LearningRate(), min(1, t.config.ClipNorm/(math.Sqrt(squared)+tiny))
	return t.crew.all(len(t.workers), func(i int) { t.optimizer.Apply(i, rate, scale) })
}

// gradients lets this rank's workers compute those of their shares, side by side, and
// returns their part of the loss.
func (t *Trainer) gradients(batch []examples.Example) (loss float64, err error) {
	// Each step has random numbers of its own, so that a resumed training drops out
	// the same.
	random := rand.New(rand.NewPCG(uint64(t.config.Seed), uint64(t.step)))
	libtorch.Seed(random.Int64() + int64(t.first))
	tokens := 0
	for _, e := range batch {
		tokens += len(e.Labels)
	}
	var shares []share
	for i, part := range split(batch, t.everyone) {
		s := share{batch: part, rows: len(batch), tokens: tokens, dense: t.config.DenseLoss, random: random.Uint64()}
		if i >= t.first && len(shares) < len(t.workers) {
			shares = append(shares, s)
		}
	}
	losses := make([]float64, len(shares))
	err = t.crew.all(len(shares), func(i int) { losses[i] = t.workers[i].gradients(shares[i]) })
	for _, l := range losses {
		loss += l
	}
	return loss, err
}

// split cuts a batch into as many parts of about equally many tokens as there are
// workers. Batches are sorted by length, so neighbors need little padding.
func split(batch []examples.Example, workers int) [][]examples.Example {
	total := examples.CountTokens(batch)
	parts := make([][]examples.Example, 0, workers)
	from, tokens := 0, 0
	for i := range batch {
		tokens += examples.CountTokens(batch[i : i+1])
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
func (t *Trainer) LearningRate() float64 {
	warmUp := max(1, t.config.WarmUp*float64(t.config.Steps))
	done := float64(t.step)
	left := float64(t.config.Steps) - done
	return t.config.LearningRate * min((done+1)/warmUp, max(0, left)/max(1, float64(t.config.Steps)-warmUp))
}

// Plan changes the number of steps that the learning rate is planned for.
func (t *Trainer) SetSteps(steps int) { t.config.Steps = steps }

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
