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

// learned is what the stages of the training found.
type learned struct {
	PretrainLoss []float64 `json:"pretrain_loss"` // mean of each epoch, nats per token
	FinetuneLoss []float64 `json:"finetune_loss"`
	// Validation are the metrics after each epoch of finetuning, on users whose last
	// item but one was kept from the training; BestEpoch (from 1) is the one whose
	// weights became the model, 0 when there was no validation.
	Validation []Metrics `json:"validation"`
	BestEpoch  int       `json:"best_epoch"`
	// WarmStart is nil for a training from scratch, and FromScratch says why there was one.
	WarmStart   *WarmStart `json:"warm_start,omitempty"`
	FromScratch string     `json:"from_scratch,omitempty"`
	// Weights are those of the parts that were tried on that epoch, and Chosen those that the
	// model has.
	Weights      []weightResult `json:"weights,omitempty"`
	Chosen       *weightResult  `json:"chosen,omitempty"`
	TrainSeconds float64        `json:"train_seconds"`
	// CutShort are the stages that ended because their time was used up.
	CutShort []string `json:"cut_short,omitempty"`
}

// position is where a training stands: everything that its next step depends on,
// beside the weights and the optimizer's moments.
type position struct {
	learned
	Stage   int     `json:"stage"`
	Epoch   int     `json:"epoch"`
	Batch   int     `json:"batch"`
	LossSum float64 `json:"loss_sum"` // of the epoch's batches so far
}

// training is the part of a run between the snapshot and the finished weights.
type training struct {
	*initialized
	trainingData
	config Config
	work   *workspace
	ranker *model.Ranker // with the weights as they are
	at     position
	stages []stage
	since  time.Time // of the start, less what an interrupted run had spent
	saved  time.Time
	saving time.Duration // what the newest checkpoint took
}

// A kill loses at most what was done in two minutes, and of a small model less: checkpoints
// may take a hundredth of the time, but not come more often than each second.
const (
	maxCheckpointInterval = 2 * time.Minute
	minCheckpointInterval = time.Second
	checkpointsShare      = 100
)

func (t *training) checkpointDue() bool {
	return time.Since(t.saved) > min(maxCheckpointInterval, max(minCheckpointInterval, checkpointsShare*t.saving))
}

// train pretrains and finetunes the model, from the newest checkpoint of the workspace if there is one,
// loads the weights of the epoch with the best validation, and tunes the ensemble weights. The ranker
// uses the model's weights as they change.
func train(ctx context.Context, c Config, work *workspace, start *initialized, data trainingData, ranker *model.Ranker) (learned, error) {
	t := &training{config: c, work: work, initialized: start, trainingData: data, ranker: ranker, saved: time.Now()}
	t.at.WarmStart, t.at.FromScratch = start.warmStart, start.scratchReason
	t.stages = t.plan(ranker.Builder())
	resumed, err := work.restore(&t.at)
	if err != nil {
		return t.at.learned, err
	}
	if (t.at.WarmStart == nil) != (start.warmStart == nil) {
		// The version before has become unreadable, or readable, since the checkpoint.
		t.at, resumed = position{learned: learned{WarmStart: start.warmStart, FromScratch: start.scratchReason}}, ""
		if err := work.rewind(0); err != nil {
			return t.at.learned, err
		}
	}
	t.since = time.Now().Add(-time.Duration(t.at.TrainSeconds * float64(time.Second)))
	if resumed == "" && start.warmStart != nil {
		if err := t.smoothEmbeddings(ctx); err != nil {
			return t.at.learned, err
		}
	}
	t.similar = nil // as large as the catalog
	if err := t.broadcastJob(); err != nil {
		return t.at.learned, err
	}
	if err := t.runStages(ctx, resumed); err != nil {
		return t.at.learned, err
	}
	t.holdWorkers()
	if t.at.BestEpoch > 0 {
		if err := t.bundle.Model.LoadWeights(work.bestWeights(t.at.BestEpoch)); err != nil {
			return t.at.learned, err
		}
		if c.ChooseWeights {
			if err := t.tuneWeights(ctx); err != nil {
				return t.at.learned, err
			}
		}
	}
	t.at.TrainSeconds = time.Since(t.since).Seconds()
	t.warnIfWorse(ctx)
	return t.at.learned, nil
}

// runStage goes through the epochs of a stage, from a checkpoint's file of weights
// and moments if there is one.
func (t *training) runStage(ctx context.Context, resumed string) error {
	s := t.stages[t.at.Stage]
	done := t.at.Epoch*t.perEpoch(s) + t.at.Batch
	trainer, err := model.NewTrainer(t.bundle.Model, model.TrainerConfig{
		Steps: s.steps, LearningRate: s.rate, WarmUp: warmUp,
		WeightDecay: t.config.WeightDecay, DenseLoss: t.config.DenseLoss, SoftmaxItems: t.config.SoftmaxItems, ClipNorm: clipNorm, BFloat16: t.config.BFloat16,
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
	for enough := false; !enough && t.at.Epoch < s.epochs; t.at.Epoch++ {
		if enough, err = t.runEpoch(ctx, trainer, s, &budget); err != nil {
			return err
		}
		if t.at.Batch == 0 { // the budget ended with the epoch before
			break
		}
		*s.losses = append(*s.losses, t.at.LossSum/float64(t.at.Batch))
		t.at.Batch, t.at.LossSum = 0, 0
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

// runEpoch goes through what is left of an epoch; enough says that the budget of the stage
// has ended it.
func (t *training) runEpoch(ctx context.Context, trainer *model.Trainer, s stage, budget *timeBudget) (enough bool, err error) {
	skip, before := t.at.Batch, t.at.Epoch*t.perEpoch(s)
	var curve meter
	for batch := range examples.Epoch(s.histories, s.example, t.config.BatchSize, t.random(trainingStream, t.at.Epoch)) {
		if skip > 0 {
			skip--
			continue
		}
		if !t.hasStepLeft(trainer, s, budget, before+t.at.Batch) {
			if done := before + t.at.Batch; done < s.steps {
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
		t.at.Batch++
		t.at.LossSum += loss
		if t.isWorker() {
			continue
		}
		t.config.Progress.Step(loss)
		if point, full := curve.add(loss, examples.CountTokens(batch)); full {
			point.Stage, point.Epoch, point.Batch, point.LearningRate = s.name, t.at.Epoch+1, t.at.Batch, rate
			if err := t.plot(point); err != nil {
				return false, err
			}
		}
		if (before+t.at.Batch)%stepsPerPoint == 0 {
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
	t.at.TrainSeconds = time.Since(t.since).Seconds()
	started := time.Now()
	err := t.work.save(t.at, trainer)
	t.saved = time.Now()
	t.saving = t.saved.Sub(started)
	return err
}

// validate measures the epoch just finished, keeps its weights if they are the best
// so far, and says whether it is time to stop.
func (t *training) validate(ctx context.Context) (stop bool, err error) {
	if len(t.questions) == 0 {
		return false, nil
	}
	metrics, err := evaluate(ctx, t.ranker, t.questions, "validate", noProgress{})
	if err != nil {
		return false, err
	}
	epoch := t.at.Epoch + 1
	if t.at.BestEpoch == 0 || metrics.NDCG10 > t.at.Validation[t.at.BestEpoch-1].NDCG10 {
		t.at.BestEpoch = epoch
		if err := t.bundle.Model.SaveWeights(t.work.bestWeights(epoch)); err != nil {
			return false, err
		}
	}
	t.at.Validation = append(t.at.Validation, metrics)
	t.config.Logger.InfoContext(ctx, "validated", "epoch", epoch, "ndcg@10", metrics.NDCG10, "hr@10", metrics.HR10, "best_epoch", t.at.BestEpoch)
	if err := t.plot(point{Stage: "validate", Epoch: epoch, Validation: &metrics}); err != nil {
		return false, err
	}
	return epoch-t.at.BestEpoch >= t.config.Patience, nil
}

// warnIfWorse logs a warning if a warm start is worse than the version that it started from.
func (t *training) warnIfWorse(ctx context.Context) {
	if t.at.WarmStart == nil || t.at.BestEpoch == 0 {
		return
	}
	before, after := t.at.WarmStart.Before.NDCG10, t.at.Validation[t.at.BestEpoch-1].NDCG10
	if after < before {
		t.config.Logger.WarnContext(ctx, "the warm start is worse on the validation than the version that it went on from: if that happens again, train once with --from-scratch",
			"from", t.at.WarmStart.From, "ndcg@10", after, "before", before)
	}
}

func (t *training) plot(p point) error {
	p.Seconds = time.Since(t.since).Seconds()
	return t.work.plot(p)
}

// random is the stream of random numbers of one use in one epoch of one stage: an
// interrupted run finds it again.
func (t *training) random(use, epoch int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(t.config.Seed), uint64(use)<<48|uint64(t.at.Stage)<<32|uint64(epoch)))
}

// stage is one of the paper's two ways to make examples of histories.
type stage struct {
	name      string
	epochs    int // the last of which the steps may cut off
	steps     int
	rate      float64            // of learning, at its peak
	histories []examples.History // one example of each an epoch
	example   func(examples.History, *rand.Rand) examples.Example
	losses    *[]float64
}

// plan lists the stages. A warm start is finetuned alone, and for a shorter time.
func (t *training) plan(builder *examples.Builder) []stage {
	builder = builder.WithIDDropout(t.config.UnknownUser, t.config.HiddenItems)
	pretrain := stage{"pretrain", t.config.PretrainEpochs, 0, t.config.LearningRate, t.histories, builder.Pretrain, &t.at.PretrainLoss}
	finetune := stage{"finetune", t.config.FinetuneEpochs, 0, t.config.LearningRate, t.histories, builder.Finetune, &t.at.FinetuneLoss}
	if t.config.EveryPrefix {
		finetune.histories, finetune.example = prefixesOf(t.histories), builder.PredictLast
	}
	if finetune.epochs > 0 {
		perEpoch := t.perEpoch(finetune)
		finetune.epochs = max(finetune.epochs, (t.config.LeastSteps+perEpoch-1)/perEpoch)
	}
	if t.at.WarmStart != nil {
		pretrain.epochs = 0
		finetune.epochs = int(math.Ceil(t.config.WarmStart.Share * float64(finetune.epochs)))
		finetune.rate = t.config.WarmStart.LearningRate
	}
	stages := []stage{pretrain, finetune}
	for i, s := range stages {
		stages[i].steps = s.epochs * t.perEpoch(s)
	}
	t.config.Budget.share(stages)
	return stages
}

func (t *training) perEpoch(s stage) int {
	return examples.BatchesPerEpoch(len(s.histories), t.config.BatchSize)
}

// runStages goes through what is left of the stages, from a checkpoint's file of weights and
// moments if there is one.
func (t *training) runStages(ctx context.Context, resumed string) error {
	for ; t.at.Stage < len(t.stages); t.at.Stage++ {
		if t.stages[t.at.Stage].steps > 0 {
			if err := t.runStage(ctx, resumed); err != nil {
				return fmt.Errorf("%s: %w", t.stages[t.at.Stage].name, err)
			}
		}
		t.at.Epoch, resumed = 0, ""
	}
	return nil
}

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

// stepsPerPoint is how many steps a point stands for.
const stepsPerPoint = 20

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
	if m.steps < stepsPerPoint {
		return p, false
	}
	p = point{
		Loss:            m.loss / float64(m.steps),
		TokensPerSecond: float64(m.tokens) / time.Since(m.since).Seconds(),
	}
	*m = meter{since: time.Now()}
	return p, true
}
