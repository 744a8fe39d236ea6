// Package training compares training steps with transformers in PyTorch, on the same model, data and
// batches, alternating in one run. Its last line is
//
//	training tokens_per_s=… hf_tokens_per_s=… speedup=…
package training

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/examples"
)

type settings struct {
	data, python, script string
	shape                string
	batch, steps         int
	rounds               int
	threads              int
	device               string
	bfloat16             bool
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.data, "data", "", "dataset `FILE`, one user per line: user item item ...")
	flags.StringVar(&s.python, "python", "python3", "Python `PROGRAM` with the packages of deploy/baselines/requirements.txt")
	flags.StringVar(&s.script, "peer", "cmd/bench/training/baseline.py", "Python `FILE` that trains with transformers")
	flags.StringVar(&s.shape, "shape", "paper", "model of a recipe, or bart-base")
	flags.IntVar(&s.batch, "batch", 128, "examples per batch")
	flags.IntVar(&s.steps, "steps", 40, "training steps per round")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds, each of which measures genrec and transformers")
	flags.IntVar(&s.threads, "threads", runtime.NumCPU(), "threads of transformers; genrec uses all cores")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.BoolVar(&s.bfloat16, "bfloat16", false, "genrec multiplies matrices in bfloat16; transformers in float32")
	return func(ctx context.Context) error { return run(ctx, s) }
}

const (
	learningRate = 1e-3
	weightDecay  = 0.01
	clipNorm     = 1.0
	seed         = 1
	// The learning rate schedules are so long that the rate is almost constant.
	scheduleSteps = 1_000_000
	// compareSteps is the number of steps without dropout after which the losses are compared.
	compareSteps  = 4
	lossTolerance = 2e-3 // nats; optimizers amplify rounding errors
)

func run(ctx context.Context, s settings) error {
	runtime.LockOSThread() // a model belongs to one thread
	if s.data == "" {
		return errors.New("-data is required: the file of a dataset")
	}
	dir, err := os.MkdirTemp("", "genrec-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	batches, config, err := prepare(s)
	if err != nil {
		return err
	}
	batchFile := filepath.Join(dir, "batches.safetensors")
	if err := writeBatches(batchFile, batches); err != nil {
		return err
	}
	if !s.bfloat16 {
		if err := checkAgreement(ctx, s, config, batches, batchFile, filepath.Join(dir, "compared")); err != nil {
			return err
		}
	}
	return measureRounds(ctx, s, config, batches, batchFile, filepath.Join(dir, "measured"))
}

// prepare returns finetuning batches as in retrain, bucketed by length.
func prepare(s settings) ([][]examples.Example, model.Config, error) {
	data, err := measure.LoadData(s.data, s.shape, catalog.Literal)
	if err != nil {
		return nil, data.Model, err
	}
	config := data.Model
	config.Users, config.Items = data.Catalog.Users(), data.Catalog.Items()
	var histories []examples.History
	for _, q := range data.Sequences {
		histories = append(histories, data.History(q))
	}
	var batches [][]examples.Example
	for batch := range examples.Epoch(histories, data.Builder.Finetune, s.batch, rand.New(rand.NewPCG(seed, 0))) {
		if batches = append(batches, batch); len(batches) == s.steps {
			return batches, config, nil
		}
	}
	return nil, config, fmt.Errorf("%s yields %d batches of %d, fewer than -steps, %d", s.data, len(batches), s.batch, s.steps)
}

// checkAgreement trains a few steps without dropout with both and returns an error if the losses differ.
func checkAgreement(ctx context.Context, s settings, config model.Config, batches [][]examples.Example, batchFile, dir string) error {
	config.Dropout, config.AttentionDropout, config.ActivationDropout = 0, 0, 0
	genrec, baseline, err := start(ctx, s, config, batchFile, dir)
	if err != nil {
		return err
	}
	defer func() { genrec.close(); baseline.Close() }()
	few := batches[:min(compareSteps, len(batches))]
	_, got, err := genrec.train(few)
	if err != nil {
		return err
	}
	_, want, err := baseline.train(len(few))
	if err != nil {
		return err
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > lossTolerance {
			return fmt.Errorf("step %d without dropout: loss %.5f in genrec, %.5f in transformers: want the same training", i+1, got[i], want[i])
		}
	}
	fmt.Printf("without dropout, the losses of %d steps agree; the last ones are %.5f in genrec, %.5f in transformers\n",
		len(few), got[len(few)-1], want[len(few)-1])
	return nil
}

// measureRounds measures genrec and transformers in turn.
func measureRounds(ctx context.Context, s settings, config model.Config, batches [][]examples.Example, batchFile, dir string) error {
	genrec, baseline, err := start(ctx, s, config, batchFile, dir)
	if err != nil {
		return err
	}
	defer func() { genrec.close(); baseline.Close() }()
	count := 0
	for _, batch := range batches {
		count += examples.CountTokens(batch)
	}
	precision := "float32"
	if s.bfloat16 {
		precision = "bfloat16 against float32"
	}
	fmt.Printf("%s, %d parameters, batch %d, %d steps per round, %.0f tokens per step, %s, %s, %d threads\n",
		s.shape, genrec.model.Parameters(), s.batch, s.steps, float64(count)/float64(len(batches)), s.device, precision, s.threads)
	var genrecSeconds, baselineSeconds []float64
	for round := range s.rounds + 1 {
		ours, _, err := genrec.train(batches)
		if err != nil {
			return err
		}
		theirs, _, err := baseline.train(len(batches))
		if err != nil {
			return err
		}
		if round == 0 {
			continue // warm-up
		}
		genrecSeconds, baselineSeconds = append(genrecSeconds, ours.Seconds()), append(baselineSeconds, theirs.Seconds())
		fmt.Printf("round %d: %.0f tokens/s in genrec, %.0f in transformers\n", round, float64(count)/ours.Seconds(), float64(count)/theirs.Seconds())
	}
	a, b := float64(count)/measure.Median(genrecSeconds), float64(count)/measure.Median(baselineSeconds)
	fmt.Printf("training tokens_per_s=%.0f hf_tokens_per_s=%.0f speedup=%.2f\n", a, b, a/b)
	return nil
}

// genrecTrainer trains with this program.
type genrecTrainer struct {
	model   *model.Model
	trainer *model.Trainer
}

// start creates a model and starts transformers with a copy of it.
func start(ctx context.Context, s settings, config model.Config, batchFile, dir string) (*genrecTrainer, baseline, error) {
	device, err := model.ParseDevice(s.device)
	if err != nil {
		return nil, baseline{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, baseline{}, err
	}
	m, err := model.New(config, seed, device)
	if err != nil {
		return nil, baseline{}, err
	}
	if err := m.Save(dir); err != nil {
		return nil, baseline{}, err
	}
	trainer, err := model.NewTrainer(m, model.TrainerConfig{
		Steps: scheduleSteps, LearningRate: learningRate, WeightDecay: weightDecay, ClipNorm: clipNorm, Seed: seed,
		BFloat16: s.bfloat16,
	})
	if err != nil {
		return nil, baseline{}, err
	}
	b, err := startBaseline(ctx, s, dir, batchFile)
	return &genrecTrainer{m, trainer}, b, err
}

func (t *genrecTrainer) train(batches [][]examples.Example) (time.Duration, []float64, error) {
	began := time.Now()
	var losses []float64
	for _, batch := range batches {
		loss, err := t.trainer.Step(batch)
		if err != nil {
			return 0, nil, err
		}
		losses = append(losses, loss)
	}
	return time.Since(began), losses, nil
}

func (t *genrecTrainer) close() {
	t.trainer.Close()
	t.model.Drop()
}
