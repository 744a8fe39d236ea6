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

// ProgressMetrics is a Progress that exports progress and outcomes of runs to Prometheus.
type ProgressMetrics struct {
	next          Progress
	stage         string
	done, steps   int
	progress      *prometheus.GaugeVec
	loss, lastEnd prometheus.Gauge
	ended         *prometheus.CounterVec
}

// NewProgressMetrics returns ProgressMetrics that forward to next.
func NewProgressMetrics(next Progress) *ProgressMetrics {
	p := &ProgressMetrics{
		next: next,
		progress: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "genrec_retrain_progress_ratio", Help: "Progress of the current training stage, from 0 to 1; absent while no training runs.",
		}, []string{"stage"}),
		loss: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "genrec_retrain_loss_nats", Help: "Loss of the newest training step, in nats per token.",
		}),
		lastEnd: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "genrec_retrain_last_success_timestamp_seconds", Help: "Time when a training last published a version, promoted or not; 0 if none has since the start.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_retrain_runs_total", Help: "Finished trainings by outcome: promoted, waiting for a split to end, refused by the gate, no_data, or failed.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{"promoted", "waiting", "refused", "no_data", "failed"} {
		p.ended.WithLabelValues(outcome)
	}
	return p
}

// Metrics returns the collectors to register.
func (p *ProgressMetrics) Metrics() []prometheus.Collector {
	return []prometheus.Collector{p.progress, p.loss, p.lastEnd, p.ended}
}

// Start implements Progress.
func (p *ProgressMetrics) Start(stage string, steps, done int) {
	p.stage, p.steps, p.done = stage, steps, done
	p.export()
	p.next.Start(stage, steps, done)
}

// Step implements Progress.
func (p *ProgressMetrics) Step(loss float64) {
	p.done++
	p.export()
	if loss > 0 {
		p.loss.Set(loss)
	}
	p.next.Step(loss)
}

// Finish implements Progress.
func (p *ProgressMetrics) Finish() {
	p.progress.Reset()
	p.next.Finish()
}

// export sets the metric of the current stage only: stage names contain versions, so that the number of
// series would grow.
func (p *ProgressMetrics) export() {
	p.progress.Reset()
	p.progress.WithLabelValues(p.stage).Set(float64(p.done) / float64(max(p.steps, 1)))
}

// RecordRun counts a run by the result of Run.
func (p *ProgressMetrics) RecordRun(r Report, err error) {
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
	p.ended.WithLabelValues(outcome).Inc()
	if err == nil {
		p.lastEnd.SetToCurrentTime()
	}
}
