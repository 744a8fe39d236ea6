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

// Config configures a run. One seed, snapshot, previous version and device give one model.
type Config struct {
	Recipe
	Device model.Device // to train on
	Seed   int64        // of all random numbers
	// Pretrained is a Hugging Face folder with a BART, whose weights and vocabulary the training
	// starts from; if it is empty, weights are random.
	Pretrained string
	// FromScratch disables the warm start from the current version. ScratchEvery disables it in every
	// ScratchEvery-th training (0: never), which bounds drift and the influence of erased users.
	FromScratch  bool
	ScratchEvery int

	// Snapshot has the sequences; an interrupted run is resumed from it. It is nil for other data.
	Snapshot *snapshot.Snapshot
	// Erasures reports users erased since the watermark of the snapshot, whose sequences prevent the
	// publication of the model. It is nil for data without erasures.
	Erasures snapshot.Erasures

	// EvaluateUsers limits the number of evaluated users, sampled by the seed; 0 evaluates all.
	EvaluateUsers int
	// Ranker configures the ranking of items in validation and evaluation.
	Ranker model.RankerConfig
	// Budget limits steps, time and memory.
	Budget Budget

	// Group connects the ranks of a distributed training. This is rank 0; the other ranks have to call
	// RunWorker. It is nil for a training in one process.
	Group *dist.Group
	// Cores is the number of CPU cores for the training, 0 for all.
	Cores int

	Progress Progress     // nil: none
	Logger   *slog.Logger // required
}

const (
	warmUp   = 0.05 // of the steps of a stage (paper, section 7.1)
	clipNorm = 1.0
)

// DefaultScratchEvery is once a week for nightly trainings.
const DefaultScratchEvery = 7

// DefaultConfig returns the configuration that trains the default recipe on the CPU.
func DefaultConfig() Config {
	recipe, err := LoadRecipe(DefaultRecipe)
	if err != nil {
		panic(err) // embedded, and checked by a test
	}
	return Config{Recipe: recipe, Device: model.CPU, Seed: 1, ScratchEvery: DefaultScratchEvery, Ranker: model.DefaultRankerConfig(), Logger: slog.Default()}
}

// Validate reports every invalid setting.
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
