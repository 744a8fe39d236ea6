// Package retrain trains a new model version on all events so far. A run (Run) goes through
// stages, each in a file of this name: snapshot (collect the sequences), initialize (catalog,
// vocabulary and model, from random weights or by a warm start from the current version), split
// (training and validation), train (pretrain, finetune, tune the ensemble weights), evaluate
// (leave-one-out HR@k and NDCG@k), gate (compare with the current version) and publish.
//
// The workspace keeps checkpoints, so that a run that was stopped or killed is resumed by the next
// run of the same configuration on the same snapshot. All random numbers derive from the seed:
// one seed, snapshot and device give one model, resumed or not, unless the time budget ends a stage.
package retrain

import (
	"errors"
	"fmt"
	"log/slog"

	"genrec/model"
	"genrec/model/dist"
	"genrec/retrain/snapshot"
)

// Config of a run. One seed, one snapshot and one device give one model.
type Config struct {
	Recipe
	Device model.Device
	Seed   int64
	// Pretrained names a Hugging Face folder of BART to start from, with its
	// vocabulary; without one the weights are random.
	Pretrained string
	// FromScratch takes over no weights of the current version, and ScratchEvery does so
	// in one training of so many (0: never), so that neither what drifts nor what was
	// learned from users who were forgotten since lasts.
	FromScratch  bool
	ScratchEvery int

	// Snapshot is where the sequences come from: a run that was interrupted finds it there
	// again. Nil for other data.
	Snapshot *snapshot.Snapshot
	// Erasures says who was forgotten since the watermark of the snapshot: no model of their
	// sequences is published. Nil for data that nobody is erased from.
	Erasures Erasures

	// EvaluateUsers bounds the users of the evaluation, drawn by the seed; 0 takes all.
	EvaluateUsers int
	Ranker        model.RankerConfig

	Budget Budget

	// Group connects the ranks of a distributed training. This is rank 0; the other ranks have to call
	// RunWorker. It is nil for a training in one process.
	Group *dist.Group
	// Cores is the number of CPU cores for the training, 0 for all.
	Cores int

	Progress Progress // nil shows nothing
	Logger   *slog.Logger
}

const (
	warmUp   = 0.05 // of the steps of a stage (paper, section 7.1)
	clipNorm = 1.0
)

// DefaultScratchEvery is a week of nights.
const DefaultScratchEvery = 7

// DefaultConfig trains the default recipe on the CPU.
func DefaultConfig() Config {
	recipe, err := LoadRecipe(DefaultRecipe)
	if err != nil {
		panic(err) // embedded, and checked by a test
	}
	return Config{Recipe: recipe, Device: model.CPU, Seed: 1, ScratchEvery: DefaultScratchEvery, Ranker: model.DefaultRankerConfig(), Logger: slog.Default()}
}

// Validate names every setting that cannot be used.
func (c Config) Validate() error {
	err := c.Recipe.Validate()
	if c.ScratchEvery < 0 {
		err = errors.Join(err, fmt.Errorf("from scratch every: %d is negative", c.ScratchEvery))
	}
	if c.EvaluateUsers < 0 {
		err = errors.Join(err, fmt.Errorf("users to evaluate: %d is negative", c.EvaluateUsers))
	}
	return errors.Join(err, c.validateBudget())
}
