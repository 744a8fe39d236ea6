package retrain

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"genrec/model/examples"
)

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
		finetune.histories, finetune.example = beginnings(t.histories), builder.PredictLast
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
