// Package training compares training steps with transformers in PyTorch, on the same model, data and
// batches, alternating in one run.
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
	"genrec/model/tokens"
	"genrec/pkg/dataset"
)

type settings struct {
	data, python, peer string
	shape              string
	batch, steps       int
	rounds             int
	threads            int
	device             string
	bfloat16           bool
}

// Command defines the flags and returns the benchmark.
func Command(flags *flag.FlagSet) func(context.Context) error {
	var s settings
	flags.StringVar(&s.data, "data", "", "dataset's file, one user a line: user item item ...")
	flags.StringVar(&s.python, "python", "python3", "with the packages of deploy/baselines/requirements.txt")
	flags.StringVar(&s.peer, "peer", "cmd/bench/training/peer.py", "the transformers side")
	flags.StringVar(&s.shape, "shape", "paper", "a recipe's model, or bart-base")
	flags.IntVar(&s.batch, "batch", 128, "examples in a batch")
	flags.IntVar(&s.steps, "steps", 40, "training steps of each side in a round")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds, the sides taking turns")
	flags.IntVar(&s.threads, "threads", runtime.NumCPU(), "of the transformers side; this one takes all cores")
	flags.StringVar(&s.device, "device", "cpu", "cpu or cuda")
	flags.BoolVar(&s.bfloat16, "bfloat16", false, "this side computes matrix products in bfloat16; transformers stays in float32")
	return func(ctx context.Context) error { return run(ctx, s) }
}

const (
	learningRate = 1e-3
	weightDecay  = 0.01
	clipNorm     = 1.0
	seed         = 1
	// Both schedules are so long that the rate stays as good as constant.
	scheduleSteps = 1_000_000
	// compareSteps are trained without dropout on both sides, to see that they do the
	// same thing.
	compareSteps  = 4
	lossTolerance = 2e-3 // nats; the optimizers amplify rounding errors
)

func run(ctx context.Context, s settings) error {
	runtime.LockOSThread() // the model's
	if s.data == "" {
		return errors.New("-data is needed: the file of a dataset")
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
		if err := compare(ctx, s, config, batches, batchFile, filepath.Join(dir, "compared")); err != nil {
			return err
		}
	}
	return race(ctx, s, config, batches, batchFile, filepath.Join(dir, "raced"))
}

// prepare draws the batches of a finetuning as retrain does, bucketed by length.
func prepare(s settings) ([][]examples.Example, model.Config, error) {
	users, err := dataset.Read(s.data)
	if err != nil {
		return nil, model.Config{}, err
	}
	var sequences []catalog.Sequence
	for _, u := range users {
		sequences = append(sequences, catalog.Sequence{User: u.ID, Items: u.Items})
	}
	items, err := catalog.Build(sequences, catalog.Options{Text: catalog.Literal, Seed: 1})
	if err != nil {
		return nil, model.Config{}, err
	}
	vocabulary := tokens.NewDigits()
	config, err := measure.Shape(s.shape, vocabulary.Size())
	if err != nil {
		return nil, config, err
	}
	config.Users, config.Items = items.Users(), items.Items()
	config.NewestFirst = false // BART cannot count so
	builder := examples.NewBuilder(examples.Config{Catalog: items, Tokenizer: vocabulary, MaxTokens: config.MaxTokens()})
	var histories []examples.History
	for _, q := range sequences {
		histories = append(histories, examples.History{User: items.UserIndex(q.User), Items: items.ItemIndices(q.Items)})
	}
	var batches [][]examples.Example
	for batch := range examples.Epoch(histories, builder.Finetune, s.batch, rand.New(rand.NewPCG(seed, 0))) {
		if batches = append(batches, batch); len(batches) == s.steps {
			return batches, config, nil
		}
	}
	return nil, config, fmt.Errorf("%s makes %d batches of %d, -steps asks for %d", s.data, len(batches), s.batch, s.steps)
}

// compare trains a few steps without dropout on both sides and refuses to go on where
// the losses differ.
func compare(ctx context.Context, s settings, config model.Config, batches [][]examples.Example, batchFile, dir string) error {
	config.Dropout, config.AttentionDropout, config.ActivationDropout = 0, 0, 0
	here, there, err := start(ctx, s, config, batchFile, dir)
	if err != nil {
		return err
	}
	defer func() { here.close(); there.Close() }()
	few := batches[:min(compareSteps, len(batches))]
	_, ours, err := here.train(few)
	if err != nil {
		return err
	}
	_, theirs, err := there.train(len(few))
	if err != nil {
		return err
	}
	for i := range ours {
		if math.Abs(ours[i]-theirs[i]) > lossTolerance {
			return fmt.Errorf("step %d without dropout: loss %.5f here, %.5f in transformers: not the same training", i+1, ours[i], theirs[i])
		}
	}
	fmt.Printf("without dropout, the losses of %d steps agree: %.5f here, %.5f in transformers at the last\n",
		len(few), ours[len(few)-1], theirs[len(few)-1])
	return nil
}

// race times both sides in turn.
func race(ctx context.Context, s settings, config model.Config, batches [][]examples.Example, batchFile, dir string) error {
	here, there, err := start(ctx, s, config, batchFile, dir)
	if err != nil {
		return err
	}
	defer func() { here.close(); there.Close() }()
	count := 0
	for _, batch := range batches {
		count += examples.CountTokens(batch)
	}
	precision := "float32"
	if s.bfloat16 {
		precision = "bfloat16 against float32"
	}
	fmt.Printf("%s, %d parameters, batch %d, %d steps a round, %.0f tokens a step, %s, %s, %d threads\n",
		s.shape, here.model.Parameters(), s.batch, s.steps, float64(count)/float64(len(batches)), s.device, precision, s.threads)
	var ours, theirs []float64
	for round := range s.rounds + 1 {
		mine, _, err := here.train(batches)
		if err != nil {
			return err
		}
		other, _, err := there.train(len(batches))
		if err != nil {
			return err
		}
		if round == 0 {
			continue // warm-up
		}
		ours, theirs = append(ours, mine.Seconds()), append(theirs, other.Seconds())
		fmt.Printf("round %d: %.0f tokens/s here, %.0f in transformers\n", round, float64(count)/mine.Seconds(), float64(count)/other.Seconds())
	}
	a, b := float64(count)/measure.Median(ours), float64(count)/measure.Median(theirs)
	fmt.Printf("training tokens_per_s=%.0f hf_tokens_per_s=%.0f speedup=%.2f\n", a, b, a/b)
	return nil
}

// side is this program's half of the race.
type side struct {
	model   *model.Model
	trainer *model.Trainer
}

// start makes a model and gives a copy of it to the transformers side.
func start(ctx context.Context, s settings, config model.Config, batchFile, dir string) (*side, peer, error) {
	device, err := model.ParseDevice(s.device)
	if err != nil {
		return nil, peer{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, peer{}, err
	}
	m, err := model.New(config, seed, device)
	if err != nil {
		return nil, peer{}, err
	}
	if err := m.Save(dir); err != nil {
		return nil, peer{}, err
	}
	trainer, err := model.NewTrainer(m, model.TrainerConfig{
		Steps: scheduleSteps, LearningRate: learningRate, WeightDecay: weightDecay, ClipNorm: clipNorm, Seed: seed,
		BFloat16: s.bfloat16,
	})
	if err != nil {
		return nil, peer{}, err
	}
	there, err := startPeer(ctx, s, dir, batchFile)
	return &side{m, trainer}, there, err
}

func (s *side) train(batches [][]examples.Example) (time.Duration, []float64, error) {
	began := time.Now()
	var losses []float64
	for _, batch := range batches {
		loss, err := s.trainer.Step(batch)
		if err != nil {
			return 0, nil, err
		}
		losses = append(losses, loss)
	}
	return time.Since(began), losses, nil
}

func (s *side) close() {
	s.trainer.Close()
	s.model.Drop()
}
