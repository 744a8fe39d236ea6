package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"genrec/model/dist"
	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/safetensors"
	"genrec/model/tensor"
)

// TrainerConfig configures one training stage.
type TrainerConfig struct {
	// Steps is the number of optimizer steps of the stage. The learning rate rises over the first WarmUp
	// share of them to LearningRate, and then falls to zero.
	Steps int
	// LearningRate is the highest one.
	LearningRate float64
	// WarmUp is a share of the steps, from 0 to 1.
	WarmUp float64
	// WeightDecay is AdamW's.
	WeightDecay float64
	// ClipNorm bounds the norm of the gradients of all weights together.
	ClipNorm float64
	// DenseLoss is the weight of the dense head's cross-entropy in the loss; 0 skips the head.
	DenseLoss float64
	// SoftmaxItems bounds the items of a step: catalogs of more than twice as many are sampled, in each step
	// anew (itemSample). It must be at least the number of items that a batch can have. 0 trains all items in
	// each step.
	SoftmaxItems int
	// Seed is that of the dropout masks and of the sampled items.
	Seed int64
	// BFloat16 computes matrix products in bfloat16; weights and sums stay float32.
	BFloat16 bool
	// Cores is the number of CPU cores to use; 0 is all.
	Cores int
	// Group is the processes of a distributed training, each with a share of every batch; nil for one
	// process.
	Group *dist.Group
	// OnThreadStart runs at the start of every thread of the trainer, unless it is nil.
	OnThreadStart func()
}

// Trainer runs optimizer steps on a model that the caller's goroutine owns. On a CPU, it splits a batch
// among workers, one for each thread, which share the weights and have gradients of their own; in
// distributed training, among the workers of all ranks. Its checkpoints hold the weights and the moments
// of the optimizer: a training that resumes from one comes to the same model.
type Trainer struct {
	config      TrainerConfig
	model       *Model
	workers     []*worker
	firstWorker int        // of this rank, among those of all ranks
	allWorkers  int        // of all ranks
	threads     threadPool // one for each worker, or none if there is one worker
	optimizer   *tensor.AdamW
	moments     *tensor.Scope
	sample      *itemSample      // nil if all items are trained in each step
	means       []*tensor.Tensor // of the gradients, by trained weight
	squares     []*tensor.Tensor // of their squares
	step        int
}

// ErrDiverged is returned by Step if the loss is NaN or infinite.
var ErrDiverged = errors.New("training diverged")

const adamBeta1, adamBeta2 = 0.9, 0.999

// NewTrainer starts a stage with a fresh AdamW state.
func NewTrainer(m *Model, c TrainerConfig) (t *Trainer, err error) {
	defer tensor.Catch(&err)
	t = &Trainer{config: c, model: m, moments: newScope(m.device)}
	var replicas [][]*tensor.Tensor
	cores := cmp.Or(c.Cores, runtime.NumCPU())
	threads := threadsFor(cores, m)
	if c.Cores > 0 && m.device == CPU {
		if err := libtorch.UseThreads(c.Cores); err != nil {
			return nil, err
		}
	}
	if m.Config.AttentionDropout > 0 {
		// Its masks come from libtorch's one generator, from which threads would draw in any order.
		threads = 0
	}
	if t.threads, err = newThreadPool(m.device, threads, c.OnThreadStart); err != nil {
		return nil, err
	}
	trained := m
	if c.SoftmaxItems > 0 && m.Config.Items > 2*c.SoftmaxItems {
		t.sample = newItemSample(m, c.SoftmaxItems)
		trained = t.sample.model
	}
	for range max(1, threads) {
		w := newWorker(trained, c.BFloat16)
		if t.sample != nil {
			w.network.itemBias = t.sample.bias
		}
		t.workers = append(t.workers, w)
		replicas = append(replicas, w.weights.trained())
	}
	t.optimizer = tensor.NewAdamW(trained.weights.trained(), replicas, len(t.workers), adamBeta1, adamBeta2, c.WeightDecay)
	t.means, t.squares = t.optimizer.Moments(t.moments)
	if t.sample != nil {
		at := slices.Index(m.weights.trainedNames(), itemsName)
		t.sample.useMoments(t.means[at], t.squares[at])
		t.means[at], t.squares[at] = t.sample.all[1], t.sample.all[2]
	}
	if err := t.countWorkers(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// countWorkers numbers the workers of all ranks consecutively.
func (t *Trainer) countWorkers() error {
	t.allWorkers = len(t.workers)
	if t.config.Group == nil {
		return nil
	}
	counts, err := t.config.Group.AllGather(len(t.workers))
	if err != nil {
		return err
	}
	t.allWorkers = 0
	for rank, count := range counts {
		if rank == t.config.Group.Rank {
			t.firstWorker = t.allWorkers
		}
		t.allWorkers += count
	}
	return nil
}

// Step runs an optimizer step on a batch and returns its mean loss in nats: per target token, plus
// DenseLoss times that of the dense head per row.
func (t *Trainer) Step(batch []examples.Example) (loss float64, err error) {
	defer tensor.Catch(&err)
	if t.sample != nil {
		if batch, err = t.sample.load(batch, rand.New(rand.NewPCG(uint64(t.config.Seed)+1, uint64(t.step)))); err != nil {
			return 0, err
		}
	}
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
	if t.sample != nil {
		t.sample.store()
	}
	if t.step++; t.step%stepsBetweenReleases == 0 {
		libtorch.ReleaseMemory()
	}
	return loss, nil
}

// stepsBetweenReleases keeps the memory of a training at about that of its longest batch. A release takes
// milliseconds.
const stepsBetweenReleases = 100

// update applies the gradients of all workers, clipped to ClipNorm.
func (t *Trainer) update() error {
	t.optimizer.Begin(t.config.Group != nil)
	norms := make([]float64, len(t.workers))
	if err := t.threads.all(len(t.workers), func(i int) { norms[i] = t.optimizer.SumGradients(i) }); err != nil {
		return err
	}
	if t.config.Group != nil {
		scope := newScope(t.model.device)
		defer scope.Free()
		if err := t.config.Group.AllReduce(t.optimizer.Gradients(scope)); err != nil {
			return err
		}
		if err := t.threads.all(len(t.workers), func(i int) { norms[i] = t.optimizer.SquaredNorm(i) }); err != nil {
			return err
		}
	}
	squared := 0.0
	for _, n := range norms {
		squared += n
	}
	const tiny = 1e-6 // as in torch.nn.utils.clip_grad_norm_
	rate, scale := t.LearningRate(), min(1, t.config.ClipNorm/(math.Sqrt(squared)+tiny))
	return t.threads.all(len(t.workers), func(i int) { t.optimizer.Apply(i, rate, scale) })
}

// gradients computes those of this rank's share of a batch, and returns its part of the loss.
func (t *Trainer) gradients(batch []examples.Example) (loss float64, err error) {
	// Seeded by the step, so that a resumed training has the same dropout masks.
	random := rand.New(rand.NewPCG(uint64(t.config.Seed), uint64(t.step)))
	libtorch.Seed(random.Int64() + int64(t.firstWorker))
	tokens := 0
	for _, e := range batch {
		tokens += len(e.Labels)
	}
	var shares []share
	for i, part := range split(batch, t.allWorkers) {
		s := share{batch: part, rows: len(batch), tokens: tokens, dense: t.config.DenseLoss, random: random.Uint64()}
		if i >= t.firstWorker && len(shares) < len(t.workers) {
			shares = append(shares, s)
		}
	}
	losses := make([]float64, len(shares))
	err = t.threads.all(len(shares), func(i int) { losses[i] = t.workers[i].gradients(shares[i]) })
	for _, l := range losses {
		loss += l
	}
	return loss, err
}

// split divides a batch into parts of about equally many tokens, one for each worker, if there are enough
// rows. The batch is sorted by length, so the rows of a part need little padding.
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

// LearningRate is that of the next step: linear warm-up, linear decay.
func (t *Trainer) LearningRate() float64 {
	warmUp := max(1, t.config.WarmUp*float64(t.config.Steps))
	done := float64(t.step)
	left := float64(t.config.Steps) - done
	return t.config.LearningRate * min((done+1)/warmUp, max(0, left)/max(1, float64(t.config.Steps)-warmUp))
}

// SetSteps changes TrainerConfig.Steps, and so the schedule of the learning rate.
func (t *Trainer) SetSteps(steps int) { t.config.Steps = steps }

// Prefixes of the names of the optimizer's moments in a checkpoint, beside those of the weights.
const (
	meanPrefix   = "mean."
	squarePrefix = "square."
)

// SaveCheckpoint writes the weights and the optimizer's moments, from which Resume continues.
func (t *Trainer) SaveCheckpoint(path string) (err error) {
	defer tensor.Catch(&err)
	return writeTensors(path, t.state())
}

// Resume reads what SaveCheckpoint wrote after a number of steps.
func (t *Trainer) Resume(path string, steps int) (err error) {
	defer tensor.Catch(&err)
	stored, err := safetensors.ReadFile(path)
	if err != nil {
		return err
	}
	defer withoutGradients()()
	state := make(map[string]*tensor.Tensor)
	for _, s := range t.state() {
		state[s.name] = s.Tensor
	}
	if len(stored) != len(state) {
		return fmt.Errorf("resume training from %s: %d tensors, this training has %d", path, len(stored), len(state))
	}
	scope := newScope(t.model.device)
	defer scope.Free()
	for _, s := range stored {
		into, known := state[s.Name]
		if !known {
			return fmt.Errorf("resume training from %s: tensor %q is unknown to this training", path, s.Name)
		}
		if err := overwrite(s.Name, into, scope.Floats(s.Data, s.Shape...)); err != nil {
			return fmt.Errorf("resume training from %s: %w", path, err)
		}
	}
	t.optimizer.SetSteps(steps)
	t.step = steps
	return nil
}

// Broadcast copies the state of rank 0, after a number of steps, to all ranks.
func (t *Trainer) Broadcast(steps int) (err error) {
	defer tensor.Catch(&err)
	var all []*tensor.Tensor
	for _, s := range t.state() {
		all = append(all, s.Tensor)
	}
	if err := t.config.Group.BroadcastTensors(all); err != nil {
		return fmt.Errorf("broadcast the state of the training: %w", err)
	}
	t.optimizer.SetSteps(steps)
	t.step = steps
	return nil
}

// state lists the tensors of a checkpoint.
func (t *Trainer) state() []namedTensor {
	state := t.model.weights.named()
	for i, name := range t.model.weights.trainedNames() {
		state = append(state, namedTensor{meanPrefix + name, t.means[i]}, namedTensor{squarePrefix + name, t.squares[i]})
	}
	return state
}

// Close frees the optimizer and ends the workers.
func (t *Trainer) Close() (err error) {
	defer tensor.Catch(&err)
	t.moments.Free()
	t.optimizer.Drop()
	if t.sample != nil {
		t.sample.scope.Free()
	}
	t.threads.close()
	for _, w := range t.workers {
		w.weights.drop()
	}
	return nil
}

// worker computes the gradients of a share of each batch.
type worker struct {
	device   Device
	config   Config
	bfloat16 bool
	weights  *parameters // aliases of the model's, with gradients of their own
	network  *network
	// maxPositions bounds those of a micro-batch, with their padding.
	maxPositions int
}

func newWorker(m *Model, bfloat16 bool) *worker {
	weights := m.weights.aliases()
	w := &worker{device: m.device, config: m.Config, bfloat16: bfloat16, weights: weights, network: newNetwork(m.Config, weights), maxPositions: maxPositions(m.device)}
	weights.requireGrad(true)
	return w
}

// share is a worker's part of a step.
type share struct {
	batch  []examples.Example
	rows   int     // of the whole batch
	tokens int     // target tokens of the whole batch
	dense  float64 // weight of the dense head's loss
	random uint64  // of the dropout masks
}

// gradients accumulates those of a share, micro-batch by micro-batch, and returns its part of the batch's
// loss.
func (w *worker) gradients(s share) (loss float64) {
	for _, batch := range microBatches(s.batch, w.maxPositions) {
		loss += w.backward(&s, batch)
	}
	return loss
}

// backward runs a forward and a backward pass on a micro-batch.
func (w *worker) backward(s *share, batch []examples.Example) float64 {
	p := newTrainingPass(w.device, w.config, s.random)
	defer p.Free()
	generative, dense := w.forward(p, examples.NewBatch(examples.Inputs(batch)), examples.NewTargets(batch), s.dense > 0)
	l := p.Scale(generative, 1/float64(s.tokens))
	if s.dense > 0 {
		l = p.Add(l, p.Scale(dense, s.dense/float64(s.rows)))
	}
	l.Backward()
	s.random = p.dropout.random
	return float64(l.Floats()[0])
}

// maxPositions bounds the memory of a forward and backward pass. On a CPU, an operation also finds the
// results of the one before it in the caches.
func maxPositions(device Device) int {
	if device == CPU {
		return 1 << 12
	}
	return 1 << 18
}

// microBatches divides a batch that is sorted by length into parts of at most that many positions, with
// their padding, and of at least one row.
func microBatches(batch []examples.Example, maxPositions int) (parts [][]examples.Example) {
	from := 0
	for i, e := range batch {
		if i > from && (i+1-from)*e.Positions() > maxPositions {
			parts = append(parts, batch[from:i])
			from = i
		}
	}
	return append(parts, batch[from:])
}

func (w *worker) forward(p *pass, b examples.Batch, t examples.Targets, dense bool) (generative, head *tensor.Tensor) {
	if w.bfloat16 {
		libtorch.SetBFloat16(w.device.libtorch, true)
		defer libtorch.SetBFloat16(w.device.libtorch, false)
	}
	return w.network.losses(p, b, t, dense)
}
