// Package retrain makes a new model version of everything that has accumulated:
// snapshot, masked pretraining, finetuning, evaluation, publication.
package retrain

import (
	"errors"
	"fmt"
	"log/slog"

	"genrec/model"
)

// Config of a run. One seed, one snapshot and one device give one model.
type Config struct {
	Device model.Device
	Seed   int64

	// PretrainEpochs and FinetuneEpochs are passes over the users; each pass asks
	// for another item of every history.
	PretrainEpochs, FinetuneEpochs int
	BatchSize                      int
	LearningRate                   float64
	WeightDecay                    float64
	// UnknownUser is the share of examples whose user is hidden. The model needs
	// them for users who come after the training, and they keep it from learning
	// users by heart.
	UnknownUser float64

	// EvaluateUsers bounds the users of the evaluation, drawn by the seed; 0 takes all.
	EvaluateUsers int
	Ranker        model.RankerConfig

	Progress Progress // nil shows nothing
	Logger   *slog.Logger
}

// Settings of the compact model, chosen on the validation items of Amazon Beauty
// with permuted ids (ARCHITECTURE.md).
const (
	DefaultPretrainEpochs = 5
	DefaultFinetuneEpochs = 20
	DefaultBatchSize      = 64
	DefaultLearningRate   = 2e-3
	DefaultWeightDecay    = 0.01
	DefaultUnknownUser    = 0.8

	warmUp   = 0.05 // of the steps of a stage (paper, section 7.1)
	clipNorm = 1.0
)

// DefaultConfig trains the compact model.
func DefaultConfig() Config {
	return Config{
		Device: model.CPU, Seed: 1,
		PretrainEpochs: DefaultPretrainEpochs, FinetuneEpochs: DefaultFinetuneEpochs,
		BatchSize: DefaultBatchSize, LearningRate: DefaultLearningRate, WeightDecay: DefaultWeightDecay,
		UnknownUser: DefaultUnknownUser,
		Ranker:      model.DefaultRankerConfig(),
		Logger:      slog.Default(),
	}
}

// Validate names every setting that cannot be used.
func (c Config) Validate() error {
	var errs []error
	refuse := func(bad bool, format string, value any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, value))
		}
	}
	refuse(c.PretrainEpochs < 0, "pretraining epochs: %v is negative", c.PretrainEpochs)
	refuse(c.FinetuneEpochs < 0, "finetuning epochs: %v is negative", c.FinetuneEpochs)
	refuse(c.BatchSize < 1, "batch size: %v is not positive", c.BatchSize)
	refuse(c.LearningRate <= 0, "learning rate: %v is not positive", c.LearningRate)
	refuse(c.WeightDecay < 0, "weight decay: %v is negative", c.WeightDecay)
	refuse(c.UnknownUser < 0 || c.UnknownUser > 1, "share of unknown users: %v is not in [0, 1]", c.UnknownUser)
	refuse(c.EvaluateUsers < 0, "users to evaluate: %v is negative", c.EvaluateUsers)
	return errors.Join(errs...)
}
