package retrain

import "time"

// CurvesFile holds the course of a training beside the model, one JSON object a line.
const CurvesFile = "curves.jsonl"

// point is a line of the curves: a stretch of a stage, or the validation after an
// epoch.
type point struct {
	Stage           string   `json:"stage"`
	Epoch           int      `json:"epoch"`
	Batch           int      `json:"batch,omitempty"`
	Seconds         float64  `json:"seconds"`        // of training until then
	Loss            float64  `json:"loss,omitempty"` // mean of the stretch, nats per token
	LearningRate    float64  `json:"learning_rate,omitempty"`
	TokensPerSecond float64  `json:"tokens_per_s,omitempty"`
	Validation      *Metrics `json:"validation,omitempty"`
}

// stretch is how many steps a point stands for.
const stretch = 20

// meter sums up steps until they make a point.
type meter struct {
	steps, tokens int
	loss          float64
	since         time.Time
}

func (m *meter) add(loss float64, tokens int) (p point, full bool) {
	if m.since.IsZero() {
		m.since = time.Now()
	}
	m.steps++
	m.tokens += tokens
	m.loss += loss
	if m.steps < stretch {
		return p, false
	}
	p = point{
		Loss:            m.loss / float64(m.steps),
		TokensPerSecond: float64(m.tokens) / time.Since(m.since).Seconds(),
	}
	*m = meter{since: time.Now()}
	return p, true
}
