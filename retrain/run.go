package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/tokens"
	"genrec/pkg/registry"
)

// Report is what a run found, stored beside the model as metrics.json.
type Report struct {
	Version         string    `json:"version,omitempty"`
	Device          string    `json:"device"`
	Seed            int64     `json:"seed"`
	Users           int       `json:"users"`
	Items           int       `json:"items"`
	Interactions    int64     `json:"interactions"`
	Parameters      int       `json:"parameters"`
	PretrainLoss    []float64 `json:"pretrain_loss"` // mean of each epoch, nats per token
	FinetuneLoss    []float64 `json:"finetune_loss"`
	LeaveOneOut     Metrics   `json:"leave_one_out"`
	TrainSeconds    float64   `json:"train_seconds"`
	EvaluateSeconds float64   `json:"evaluate_seconds"`
	StartedAt       time.Time `json:"started_at"`
	FinishedAt      time.Time `json:"finished_at"`
}

// MetricsFile holds the report in a version's folder.
const MetricsFile = "metrics.json"

// Independent random streams of one seed.
const (
	trainingStream = iota + 1
	evaluationStream
)

// niceness of the training thread: serving in the same machine goes first.
const niceness = 10

// Run trains on a snapshot and publishes the model as the current version. It can
// be stopped at any step through ctx; then nothing is published.
func Run(ctx context.Context, c Config, sequences []catalog.Sequence, models *registry.Registry) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, fmt.Errorf("retrain configuration: %w", err)
	}
	if len(sequences) == 0 {
		return Report{}, ErrNoData
	}
	r := &run{config: c, sequences: sequences, models: models, progress: c.Progress}
	if r.progress == nil {
		r.progress = silent{}
	}
	type result struct {
		report Report
		err    error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread and its niceness end with the goroutine
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness); err != nil {
			c.Logger.WarnContext(ctx, "training runs at full priority", "err", err)
		}
		report, err := r.do(ctx)
		done <- result{report, err}
	}()
	finished := <-done
	return finished.report, finished.err
}

type run struct {
	config    Config
	sequences []catalog.Sequence
	models    *registry.Registry
	progress  Progress
}

func (r *run) do(ctx context.Context) (Report, error) {
	report := Report{Device: r.config.Device.String(), Seed: r.config.Seed, StartedAt: time.Now().UTC()}
	bundle, err := r.newBundle()
	if err != nil {
		return report, err
	}
	defer bundle.Model.Drop()
	report.Users, report.Items = bundle.Catalog.Users(), bundle.Catalog.Items()
	report.Interactions, report.Parameters = bundle.Catalog.Interactions(), bundle.Model.Parameters()
	r.config.Logger.InfoContext(ctx, "training", "users", report.Users, "items", report.Items,
		"interactions", report.Interactions, "parameters", report.Parameters, "device", report.Device)

	started := time.Now()
	if err := r.train(ctx, bundle, &report); err != nil {
		return report, err
	}
	report.TrainSeconds = time.Since(started).Seconds()

	started = time.Now()
	if report.LeaveOneOut, err = r.evaluate(ctx, bundle); err != nil {
		return report, err
	}
	report.EvaluateSeconds = time.Since(started).Seconds()
	report.FinishedAt = time.Now().UTC()

	report.Version, err = r.publish(bundle, report)
	return report, err
}

func (r *run) newBundle() (model.Bundle, error) {
	bundle := model.Bundle{Catalog: catalog.Build(r.sequences), Vocabulary: tokens.NewCompact()}
	config := model.Compact(bundle.Vocabulary.Size(), bundle.Catalog.Users(), bundle.Catalog.Items())
	var err error
	bundle.Model, err = model.New(config, r.config.Seed, r.config.Device)
	return bundle, err
}

func (r *run) train(ctx context.Context, bundle model.Bundle, report *Report) error {
	builder := examples.NewBuilder(examples.Config{
		Catalog: bundle.Catalog, Tokenizer: bundle.Vocabulary,
		MaxTokens: bundle.Model.Config.MaxPositions, UnknownUser: r.config.UnknownUser,
	})
	histories := make([]examples.History, len(r.sequences))
	for i, s := range r.sequences {
		histories[i] = examples.History{User: bundle.Catalog.UserNumber(s.User), Items: bundle.Catalog.Numbers(s.Items)}
	}
	rng := rand.New(rand.NewPCG(uint64(r.config.Seed), trainingStream))
	var err error
	for _, s := range []stage{
		{"pretrain", r.config.PretrainEpochs, builder.Pretrain, &report.PretrainLoss},
		{"finetune", r.config.FinetuneEpochs, builder.Finetune, &report.FinetuneLoss},
	} {
		if *s.losses, err = r.trainStage(ctx, bundle.Model, s, histories, rng); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// stage is one of the paper's two ways to make examples of histories.
type stage struct {
	name    string
	epochs  int
	example func(examples.History, *rand.Rand) examples.Example
	losses  *[]float64
}

// trainStage returns the mean loss of each epoch.
func (r *run) trainStage(ctx context.Context, m *model.Model, s stage, histories []examples.History, rng *rand.Rand) (losses []float64, err error) {
	if s.epochs == 0 {
		return nil, nil
	}
	batches := examples.Batches(len(histories), r.config.BatchSize)
	trainer, err := model.NewTrainer(m, model.TrainerConfig{
		Steps: s.epochs * batches, LearningRate: r.config.LearningRate, WarmUp: warmUp,
		WeightDecay: r.config.WeightDecay, ClipNorm: clipNorm, Seed: rng.Int64(),
	})
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	r.progress.Start(s.name, s.epochs*batches)
	defer r.progress.Finish()
	for range s.epochs {
		sum := 0.0
		for batch := range examples.Epoch(histories, s.example, r.config.BatchSize, rng) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			loss, err := trainer.Step(batch)
			if err != nil {
				return nil, err
			}
			sum += loss
			r.progress.Step(loss)
		}
		losses = append(losses, sum/float64(batches))
	}
	return losses, nil
}

func (r *run) publish(bundle model.Bundle, report Report) (version string, err error) {
	draft, err := r.models.Draft()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, draft.Discard()) }()
	if err := bundle.Save(draft.Dir); err != nil {
		return "", fmt.Errorf("save the model: %w", err)
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode metrics: %w", err)
	}
	if err := os.WriteFile(filepath.Join(draft.Dir, MetricsFile), append(data, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("write metrics: %w", err)
	}
	if version, err = draft.Publish(); err != nil {
		return "", err
	}
	return version, r.models.SetCurrent(version)
}
