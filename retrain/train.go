package retrain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"genrec/model"
	"genrec/model/examples"
)

// trainingResult is the result of the stage train.
type trainingResult struct {
	PretrainLoss []float64 `json:"pretrain_loss"` // mean per epoch, in nats per token
	FinetuneLoss []float64 `json:"finetune_loss"`
	// Validation has the metrics after each finetuning epoch, on users whose last item but one is held
	// out. BestEpoch is the epoch (from 1) whose weights became the model, 0 without validation.
	Validation []Metrics `json:"validation"`
	BestEpoch  int       `json:"best_epoch"`
	// WarmStart is nil for a training from scratch; FromScratch is the reason for one.
	WarmStart   *WarmStart `json:"warm_start,omitempty"`
	FromScratch string     `json:"from_scratch,omitempty"`
	// Weights are the grid points of the ensemble weights with their validation on the best epoch, and
	// Chosen is the one that the model got.
	Weights      []weightResult `json:"weights,omitempty"`
	Chosen       *weightResult  `json:"chosen,omitempty"`
	TrainSeconds float64        `json:"train_seconds"`
	// CutShort has the names of the stages that ran out of time.
	CutShort []string `json:"cut_short,omitempty"`
}

// trainingState is everything that the next step depends on except the weights and the optimizer's
// moments.
type trainingState struct {
	trainingResult
	Stage   int     `json:"stage"`
	Epoch   int     `json:"epoch"`
	Batch   int     `json:"batch"`
	LossSum float64 `json:"loss_sum"` // sum of the losses of the epoch's batches so far
}

// training is the stage train of a run.
type training struct {
	*initialized
	trainingData
	config Config
	work   *workspace
	ranker *model.Ranker // with the model's current weights
	state  trainingState
	stages []stage
	since  time.Time     // start of the training, minus the time spent by an interrupted run
	saved  time.Time     // time of the newest checkpoint
	saving time.Duration // duration of saving it
}

// A kill loses at most maxCheckpointInterval of training. Small models are saved more often: as long as
// saving takes at most a hundredth of the time.
const (
	maxCheckpointInterval = 2 * time.Minute
	minCheckpointInterval = time.Second
	checkpointRatio       = 100 // minimum interval, in durations of a save
)

func (t *training) checkpointDue() bool {
	return time.Since(t.saved) > min(maxCheckpointInterval, max(minCheckpointInterval, checkpointRatio*t.saving))
}

// train pretrains and finetunes the model, from the newest checkpoint of the workspace if there is one,
// loads the weights of the epoch with the best validation, and tunes the ensemble weights. The ranker
// uses the model's weights as they change.
func train(ctx context.Context, c Config, work *workspace, start *initialized, data trainingData, ranker *model.Ranker) (trainingResult, error) {
	t := &training{config: c, work: work, initialized: start, trainingData: data, ranker: ranker, saved: time.Now()}
	t.state.WarmStart, t.state.FromScratch = start.warmStart, start.scratchReason
	t.stages = t.plan(ranker.Builder())
	resumed, err := work.restore(&t.state)
	if err != nil {
		return t.state.trainingResult, err
	}
	if (t.state.WarmStart == nil) != (start.warmStart == nil) {
		// The previous version has become unreadable, or readable again, since the checkpoint.
		t.state, resumed = trainingState{trainingResult: trainingResult{WarmStart: start.warmStart, FromScratch: start.scratchReason}}, ""
		if err := work.rewind(0); err != nil {
			return t.state.trainingResult, err
		}
	}
	t.since = time.Now().Add(-time.Duration(t.state.TrainSeconds * float64(time.Second)))
	if resumed == "" && start.warmStart != nil {
		if err := t.smoothEmbeddings(ctx); err != nil {
			return t.state.trainingResult, err
		}
	}
	t.similar = nil // release it: it is as large as the catalog
	if err := t.broadcastJob(); err != nil {
		return t.state.trainingResult, err
	}
	if err := t.runStages(ctx, resumed); err != nil {
		return t.state.trainingResult, err
	}
	t.holdWorkers()
	if t.state.BestEpoch > 0 {
		if err := t.bundle.Model.LoadWeights(work.bestWeights(t.state.BestEpoch)); err != nil {
			return t.state.trainingResult, err
		}
		if c.ChooseWeights {
			if err := t.tuneWeights(ctx); err != nil {
				return t.state.trainingResult, err
			}
		}
	}
	t.state.TrainSeconds = time.Since(t.since).Seconds()
	t.warnIfWorse(ctx)
	return t.state.trainingResult, nil
}

// runStage trains the current stage, from the checkpoint file resumed unless that is empty.
func (t *training) runStage(ctx context.Context, resumed string) error {
	s := t.stages[t.state.Stage]
	done := t.state.Epoch*t.perEpoch(s) + t.state.Batch
	trainer, err := model.NewTrainer(t.bundle.Model, model.TrainerConfig{
		Steps: s.steps, LearningRate: s.rate, WarmUp: warmUp,
		WeightDecay: t.config.WeightDecay, DenseLoss: t.config.DenseLoss, SoftmaxItems: t.config.softmaxItems(), ClipNorm: clipNorm, BFloat16: t.config.BFloat16,
		Seed: t.random(dropoutStream, 0).Int64(), OnThreadStart: func() { lowerPriority(t.config.Logger) },
		Cores: t.config.Cores, Group: t.config.Group,
	})
	if err != nil {
		return err
	}
	defer trainer.Close()
	if resumed != "" {
		if err := trainer.Resume(resumed, done); err != nil {
			return err
		}
	}
	if t.config.Group != nil {
		if err := trainer.Broadcast(done); err != nil {
			return err
		}
	}
	t.config.Progress.Start(s.name, s.steps, done)
	defer t.config.Progress.Finish()
	budget := t.timeBudget(done)
	for exhausted := false; !exhausted && t.state.Epoch < s.epochs; t.state.Epoch++ {
		if exhausted, err = t.runEpoch(ctx, trainer, s, &budget); err != nil {
			return err
		}
		if t.state.Batch == 0 { // the budget was exhausted before the epoch's first batch
			break
		}
		*s.losses = append(*s.losses, t.state.LossSum/float64(t.state.Batch))
		t.state.Batch, t.state.LossSum = 0, 0
		if s.name == "finetune" {
			started := time.Now()
			if stop, err := t.stopEarly(ctx); err != nil || stop {
				return err
			}
			budget.reserve = time.Since(started)
		}
	}
	return nil
}

// runEpoch trains the remaining batches of the current epoch. It reports whether the budget of the stage
// is exhausted.
func (t *training) runEpoch(ctx context.Context, trainer *model.Trainer, s stage, budget *timeBudget) (exhausted bool, err error) {
	skip, before := t.state.Batch, t.state.Epoch*t.perEpoch(s)
	var meter stepMeter
	for batch := range examples.Epoch(s.histories, s.example, t.config.BatchSize, t.random(trainingStream, t.state.Epoch)) {
		if skip > 0 {
			skip--
			continue
		}
		if !t.hasStepLeft(trainer, s, budget, before+t.state.Batch) {
			if done := before + t.state.Batch; done < s.steps {
				t.cutShort(ctx, s, done)
			}
			return true, nil
		}
		if err := t.stopRequested(ctx); err != nil {
			return false, errors.Join(err, t.checkpoint(trainer))
		}
		rate := trainer.LearningRate()
		loss, err := trainer.Step(batch)
		if err != nil {
			return false, t.saveOnPeerLoss(err, trainer)
		}
		t.state.Batch++
		t.state.LossSum += loss
		if t.isWorker() {
			continue
		}
		t.config.Progress.Step(loss)
		if point, full := meter.add(loss, examples.CountTokens(batch)); full {
			point.Stage, point.Epoch, point.Batch, point.LearningRate = s.name, t.state.Epoch+1, t.state.Batch, rate
			if err := t.appendCurve(point); err != nil {
				return false, err
			}
		}
		if (before+t.state.Batch)%stepsPerPoint == 0 {
			if err := t.config.checkMemory(); err != nil {
				return false, errors.Join(err, t.checkpoint(trainer))
			}
		}
		if t.checkpointDue() {
			if err := t.checkpoint(trainer); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

func (t *training) checkpoint(trainer *model.Trainer) error {
	if t.isWorker() {
		return nil
	}
	t.state.TrainSeconds = time.Since(t.since).Seconds()
	started := time.Now()
	err := t.work.save(t.state, trainer)
	t.saved = time.Now()
	t.saving = t.saved.Sub(started)
	return err
}

// validate evaluates the finished epoch, saves its weights if they are the best so far, and reports
// whether finetuning should stop.
func (t *training) validate(ctx context.Context) (stop bool, err error) {
	if len(t.validation) == 0 {
		return false, nil
	}
	metrics, err := evaluate(ctx, t.ranker, t.validation, "validate", noProgress{})
	if err != nil {
		return false, err
	}
	epoch := t.state.Epoch + 1
	if t.state.BestEpoch == 0 || metrics.NDCG10 > t.state.Validation[t.state.BestEpoch-1].NDCG10 {
		t.state.BestEpoch = epoch
		if err := t.bundle.Model.SaveWeights(t.work.bestWeights(epoch)); err != nil {
			return false, err
		}
	}
	t.state.Validation = append(t.state.Validation, metrics)
	t.config.Logger.InfoContext(ctx, "validated", "epoch", epoch, "ndcg@10", metrics.NDCG10, "hr@10", metrics.HR10, "best_epoch", t.state.BestEpoch)
	if err := t.appendCurve(curvePoint{Stage: "validate", Epoch: epoch, Validation: &metrics}); err != nil {
		return false, err
	}
	return epoch-t.state.BestEpoch >= t.config.Patience, nil
}

// warnIfWorse logs a warning if a warm start is worse than the version it started from.
func (t *training) warnIfWorse(ctx context.Context) {
	if t.state.WarmStart == nil || t.state.BestEpoch == 0 {
		return
	}
	before, after := t.state.WarmStart.Before.NDCG10, t.state.Validation[t.state.BestEpoch-1].NDCG10
	if after < before {
		t.config.Logger.WarnContext(ctx, "the warm start is worse on the validation than the version it started from: if this happens again, train once with --from-scratch",
			"from", t.state.WarmStart.From, "ndcg@10", after, "before", before)
	}
}

func (t *training) appendCurve(p curvePoint) error {
	p.Seconds = time.Since(t.since).Seconds()
	return t.work.appendCurve(p)
}

// random returns the random numbers for one use in one epoch of the current stage. A resumed run gets
// the same ones.
func (t *training) random(use, epoch int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(t.config.Seed), uint64(use)<<48|uint64(t.state.Stage)<<32|uint64(epoch)))
}

// stage is pretraining or finetuning.
type stage struct {
	name      string
	epochs    int
	steps     int                // may end the stage before its last epoch
	rate      float64            // peak learning rate
	histories []examples.History // each gives one example per epoch
	example   func(examples.History, *rand.Rand) examples.Example
	losses    *[]float64
}

// plan returns the stages. A warm start has no pretraining and fewer epochs of finetuning.
func (t *training) plan(builder *examples.Builder) []stage {
	builder = builder.WithIDDropout(t.config.UnknownUser, t.config.HiddenItems)
	pretrain := stage{"pretrain", t.config.PretrainEpochs, 0, t.config.LearningRate, t.histories, builder.Pretrain, &t.state.PretrainLoss}
	finetune := stage{"finetune", t.config.FinetuneEpochs, 0, t.config.LearningRate, t.histories, builder.Finetune, &t.state.FinetuneLoss}
	if t.config.EveryPrefix {
		finetune.histories, finetune.example = prefixesOf(t.histories), builder.PredictLast
	}
	if finetune.epochs > 0 {
		perEpoch := t.perEpoch(finetune)
		finetune.epochs = max(finetune.epochs, (t.config.MinSteps+perEpoch-1)/perEpoch)
	}
	if t.state.WarmStart != nil {
		pretrain.epochs = 0
		finetune.epochs = int(math.Ceil(t.config.WarmStart.Share * float64(finetune.epochs)))
		finetune.rate = t.config.WarmStart.LearningRate
	}
	stages := []stage{pretrain, finetune}
	for i, s := range stages {
		stages[i].steps = s.epochs * t.perEpoch(s)
	}
	t.config.Budget.limitSteps(stages)
	return stages
}

func (t *training) perEpoch(s stage) int {
	return examples.BatchesPerEpoch(len(s.histories), t.config.BatchSize)
}

// runStages trains the remaining stages, from the checkpoint file resumed unless that is empty.
func (t *training) runStages(ctx context.Context, resumed string) error {
	for ; t.state.Stage < len(t.stages); t.state.Stage++ {
		if t.stages[t.state.Stage].steps > 0 {
			if err := t.runStage(ctx, resumed); err != nil {
				return fmt.Errorf("%s: %w", t.stages[t.state.Stage].name, err)
			}
		}
		t.state.Epoch, resumed = 0, ""
	}
	return nil
}

// CurvesFile has the training curves of a version: one JSON object per line.
const CurvesFile = "curves.jsonl"

// curvePoint is a line of CurvesFile: the mean of stepsPerPoint steps, or a validation.
type curvePoint struct {
	Stage           string   `json:"stage"`
	Epoch           int      `json:"epoch"`
	Batch           int      `json:"batch,omitempty"`
	Seconds         float64  `json:"seconds"`        // training time until then
	Loss            float64  `json:"loss,omitempty"` // mean, in nats per token
	LearningRate    float64  `json:"learning_rate,omitempty"`
	TokensPerSecond float64  `json:"tokens_per_s,omitempty"`
	Validation      *Metrics `json:"validation,omitempty"`
}

// stepsPerPoint is the number of steps per point of the curves.
const stepsPerPoint = 20

// stepMeter averages steps into points of the curves.
type stepMeter struct {
	steps, tokens int
	loss          float64
	since         time.Time
}

// add adds a step, and returns a point after every stepsPerPoint steps.
func (m *stepMeter) add(loss float64, tokens int) (p curvePoint, full bool) {
	if m.since.IsZero() {
		m.since = time.Now()
	}
	m.steps++
	m.tokens += tokens
	m.loss += loss
	if m.steps < stepsPerPoint {
		return p, false
	}
	p = curvePoint{
		Loss:            m.loss / float64(m.steps),
		TokensPerSecond: float64(m.tokens) / time.Since(m.since).Seconds(),
	}
	*m = stepMeter{since: time.Now()}
	return p, true
}
