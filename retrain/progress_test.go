package retrain

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	models "genrec/pkg/registry"
	"genrec/retrain/gate"
)

func TestProgressMetrics(t *testing.T) {
	w := NewProgressMetrics(noProgress{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(w.Metrics()...)
	w.Start("pretrain", 10, 0)
	w.Finish()
	w.Start("finetune", 8, 3)
	w.Step(0.5)
	w.RecordRun(Report{Gate: gate.Verdict{Promoted: true}}, nil)
	w.RecordRun(Report{Gate: gate.Verdict{Promoted: true}, Split: []models.Share{{Version: "v000001", Percent: 50}, {Version: "v000002", Percent: 50}}}, nil)
	w.RecordRun(Report{}, nil)
	w.RecordRun(Report{}, errors.New("no space left"))
	w.RecordRun(Report{}, ErrNoData)
	const want = `
# HELP genrec_retrain_loss_nats Loss of the newest training step, in nats per token.
# TYPE genrec_retrain_loss_nats gauge
genrec_retrain_loss_nats 0.5
# HELP genrec_retrain_progress_ratio Progress of the current training stage, from 0 to 1; absent while no training runs.
# TYPE genrec_retrain_progress_ratio gauge
genrec_retrain_progress_ratio{stage="finetune"} 0.5
# HELP genrec_retrain_runs_total Finished trainings by outcome: promoted, waiting for a split to end, refused by the gate, no_data, or failed.
# TYPE genrec_retrain_runs_total counter
genrec_retrain_runs_total{outcome="failed"} 1
genrec_retrain_runs_total{outcome="no_data"} 1
genrec_retrain_runs_total{outcome="promoted"} 1
genrec_retrain_runs_total{outcome="refused"} 1
genrec_retrain_runs_total{outcome="waiting"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"genrec_retrain_loss_nats", "genrec_retrain_progress_ratio", "genrec_retrain_runs_total"); err != nil {
		t.Error(err)
	}
	if testutil.ToFloat64(w.lastEnd) == 0 {
		t.Error("the time of the last version is not told")
	}
	if w.Finish(); testutil.CollectAndCount(w.progress) != 0 {
		t.Error("a stage that is over is still told")
	}
}
