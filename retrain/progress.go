package retrain

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Progress shows the progress of a run. It is called from one goroutine.
type Progress interface {
	// Start starts a stage with a number of steps, of which an interrupted run has done some.
	Start(stage string, steps, done int)
	// Step reports a finished step; loss is in nats per token, 0 in stages without a loss.
	Step(loss float64)
	// Finish ends the stage, prematurely if the run fails.
	Finish()
}

type noProgress struct{}

func (noProgress) Start(string, int, int) {}
func (noProgress) Step(float64)           {}
func (noProgress) Finish()                {}

// Watch is a Progress that exports the progress and the outcomes of runs to Prometheus.
type Watch struct {
	shown         Progress
	stage         string
	done, steps   int
	progress      *prometheus.GaugeVec
	loss, lastEnd prometheus.Gauge
	ended         *prometheus.CounterVec
}

// NewWatch returns a Watch that forwards to shown.
func NewWatch(shown Progress) *Watch {
	w := &Watch{
		shown: shown,
		progress: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "genrec_retrain_progress_ratio", Help: "How much of a training's stage is done; nothing while there is none.",
		}, []string{"stage"}),
		loss: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "genrec_retrain_loss_nats", Help: "Loss of the training's newest step.",
		}),
		lastEnd: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "genrec_retrain_last_success_timestamp_seconds", Help: "When a training ended with a version, whether the gate let it pass or not; 0: none has yet.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_retrain_runs_total", Help: "Trainings that have ended, by outcome: promoted, waiting for a split to end, refused by the gate, no_data, or failed.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{"promoted", "waiting", "refused", "no_data", "failed"} {
		w.ended.WithLabelValues(outcome)
	}
	return w
}

// Metrics returns the collectors to register.
func (w *Watch) Metrics() []prometheus.Collector {
	return []prometheus.Collector{w.progress, w.loss, w.lastEnd, w.ended}
}

// Start implements Progress.
func (w *Watch) Start(stage string, steps, done int) {
	w.stage, w.steps, w.done = stage, steps, done
	w.tell()
	w.shown.Start(stage, steps, done)
}

// Step implements Progress.
func (w *Watch) Step(loss float64) {
	w.done++
	w.tell()
	if loss > 0 {
		w.loss.Set(loss)
	}
	w.shown.Step(loss)
}

// Finish implements Progress.
func (w *Watch) Finish() {
	w.progress.Reset()
	w.shown.Finish()
}

// tell exports only the current stage: stage names contain versions, so that their number would grow.
func (w *Watch) tell() {
	w.progress.Reset()
	w.progress.WithLabelValues(w.stage).Set(float64(w.done) / float64(max(w.steps, 1)))
}

// Ended counts a run by the result of Run.
func (w *Watch) Ended(r Report, err error) {
	outcome := "promoted"
	switch {
	case errors.Is(err, ErrNoData):
		outcome = "no_data"
	case err != nil:
		outcome = "failed"
	case !r.Gate.Promoted:
		outcome = "refused"
	case !r.Serves():
		outcome = "waiting"
	}
	w.ended.WithLabelValues(outcome).Inc()
	if err == nil {
		w.lastEnd.SetToCurrentTime()
	}
}
