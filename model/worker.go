package model

import (
	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// worker computes the gradients of its share of each batch.
type worker struct {
	device   Device
	config   Config
	bfloat16 bool
	weights  *parameters // aliases of the model's, with gradients of their own
	network  *network
	most     int // positions of a forward and backward pass
}

func newWorker(m *Model, bfloat16 bool) *worker {
	weights := m.weights.aliases()
	w := &worker{device: m.device, config: m.Config, bfloat16: bfloat16, weights: weights, network: newNetwork(m.Config, weights), most: mostPositions(m.device)}
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

// gradients adds those of a share to the worker's, piece by piece, and returns its part
// of the batch's mean loss, in nats: per target token, and per item for the dense head.
func (w *worker) gradients(s share) (loss float64) {
	for _, piece := range pieces(s.batch, w.most) {
		loss += w.backward(&s, piece)
	}
	return loss
}

func (w *worker) backward(s *share, piece []examples.Example) float64 {
	g := newTrainingGraph(w.device, w.config, s.random)
	defer g.Free()
	generative, dense := w.forward(g, examples.NewBatch(examples.Inputs(piece)), examples.NewTargets(piece), s.dense > 0)
	l := g.Scale(generative, 1/float64(s.tokens))
	if s.dense > 0 {
		l = g.Add(l, g.Scale(dense, s.dense/float64(s.rows)))
	}
	l.Backward()
	s.random = g.dropout.random
	return float64(l.Floats()[0])
}

// mostPositions bounds the memory of a forward and backward pass. On a CPU it also lets
// an operation find in the caches what the one before it left there.
func mostPositions(device Device) int {
	if device == CPU {
		return 1 << 12
	}
	return 1 << 18
}

// pieces cuts a batch that is sorted by length into parts of at most that many positions
// with their padding, and of one row at least.
func pieces(batch []examples.Example, most int) (parts [][]examples.Example) {
	from := 0
	for i, e := range batch {
		if i > from && (i+1-from)*e.Positions() > most {
			parts = append(parts, batch[from:i])
			from = i
		}
	}
	return append(parts, batch[from:])
}

func (w *worker) forward(g *graph, b examples.Batch, t examples.Targets, dense bool) (generative, head *tensor.Tensor) {
	if w.bfloat16 {
		libtorch.SetBFloat16(w.device.libtorch, true)
		defer libtorch.SetBFloat16(w.device.libtorch, false)
	}
	return w.network.losses(g, b, t, dense)
}
