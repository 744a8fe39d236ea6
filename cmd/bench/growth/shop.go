package growth

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/itemstats"
	"genrec/model/libtorch"
	"genrec/model/tokens"
	"genrec/retrain"
	"genrec/test/harness"
)

const (
	seed = 1
	// groupItems is the number of items in a group that its users choose from.
	groupItems = 100
	// userItems is the number of interactions of a user.
	userItems = 10
)

// figures of one catalog.
type figures struct {
	items                       int
	milliseconds                float64 // per user
	prepare, network, fuse      float64 // its parts
	stepMilliseconds            float64
	codes, rules, publish, load time.Duration
	memoryMB                    float64 // of the process with the opened model, after it answered
}

type benchmark struct {
	settings
	recipe      retrain.Recipe
	modelDevice model.Device
	dir         string
}

// shop draws sequences over a catalog: each user chooses items of one group, popular ones more often.
func shop(items, interactions int) []catalog.Sequence {
	rng := rand.New(rand.NewPCG(seed, uint64(items)))
	groups := (items + groupItems - 1) / groupItems
	sequences := make([]catalog.Sequence, max(1, items*interactions/userItems))
	for u := range sequences {
		s := catalog.Sequence{User: fmt.Sprintf("user-%d", u)}
		group := u % groups
		for range userItems {
			popular := rng.Float64() * rng.Float64() // more often near 0
			item := group*groupItems + int(popular*groupItems)
			s.Items = append(s.Items, itemID(item%items))
		}
		sequences[u] = s
	}
	for item := range items { // every item occurs
		s := &sequences[item%len(sequences)]
		s.Items = append(s.Items, itemID(item))
	}
	return sequences
}

func itemID(item int) string { return fmt.Sprintf("item-%d", item) }

// measure trains, publishes, opens and queries a model.
func (b *benchmark) measure(ctx context.Context, items int) (figures, error) {
	f := figures{items: items}
	if err := ctx.Err(); err != nil {
		return f, err
	}
	dir := filepath.Join(b.dir, sizeLabel(items))
	if err := b.publish(ctx, dir, &f); err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	debug.FreeOSMemory()
	libtorch.ReleaseMemory()

	recommender, err := b.open(dir, &f)
	if err != nil {
		return f, err
	}
	defer recommender.Close()
	if err := b.query(ctx, recommender, &f); err != nil {
		return f, err
	}
	debug.FreeOSMemory()
	libtorch.ReleaseMemory()
	f.memoryMB, err = harness.ResidentMemory(os.Getpid())
	return f, err
}

// publish writes a model that was trained for some steps.
func (b *benchmark) publish(ctx context.Context, dir string, f *figures) error {
	sequences := shop(f.items, b.interactions)
	began := time.Now()
	ids, err := catalog.Build(sequences, catalog.Options{Text: b.recipe.Text, WithoutUsers: true, Seed: seed})
	if err != nil {
		return err
	}
	f.codes = time.Since(began)

	var histories [][]int
	for _, s := range sequences {
		histories = append(histories, model.Leaves(ids.ItemIndices(s.Items)))
	}
	bundle := model.Bundle{Catalog: ids}
	began = time.Now()
	for kind, weight := range b.recipe.Model.Rules() {
		if weight > 0 {
			bundle.Rules[kind] = itemstats.LearnRules(itemstats.RuleKind(kind), histories, ids.Items())
		}
	}
	f.rules = time.Since(began)

	if bundle.Vocabulary, err = tokens.NewCodes(ids.CodeLevels(), itemstats.CodebookSize); err != nil {
		return err
	}
	shape := b.recipe.Model
	shape.Vocabulary, shape.Items = bundle.Vocabulary.Size(), ids.Items()
	if bundle.Model, err = model.New(shape, seed, b.modelDevice); err != nil {
		return err
	}
	defer bundle.Model.Drop()
	if err := bundle.Model.InitItems(ids.Embeddings()); err != nil {
		return err
	}
	if f.stepMilliseconds, err = b.train(ctx, bundle, histories); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	began = time.Now()
	err = bundle.Save(dir)
	f.publish = time.Since(began)
	return err
}

// train returns the median time of a step on batches as in retrain.
func (b *benchmark) train(ctx context.Context, bundle model.Bundle, histories [][]int) (milliseconds float64, err error) {
	trainer, err := model.NewTrainer(bundle.Model, model.TrainerConfig{
		Steps: 1 << 20, LearningRate: b.recipe.LearningRate, WarmUp: 0.05, WeightDecay: b.recipe.WeightDecay, ClipNorm: 1,
		DenseLoss: b.recipe.DenseLoss, SoftmaxItems: b.recipe.SoftmaxItems, Seed: seed,
	})
	if err != nil {
		return 0, err
	}
	defer trainer.Close()
	var drawn []examples.History
	rng := rand.New(rand.NewPCG(seed, 1))
	for range (b.steps + 1) * b.recipe.BatchSize {
		h := examples.History{}
		for _, leaf := range histories[rng.IntN(len(histories))] {
			h.Items = append(h.Items, leaf+1)
		}
		drawn = append(drawn, h)
	}
	var times []float64
	for batch := range examples.Epoch(drawn, bundle.Builder().PredictLast, b.recipe.BatchSize, rng) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		began := time.Now()
		if _, err := trainer.Step(batch); err != nil {
			return 0, err
		}
		times = append(times, time.Since(began).Seconds()*1e3)
	}
	return measure.Median(times[1:]), nil // the first step warms up
}

func (b *benchmark) open(dir string, f *figures) (*model.Recommender, error) {
	began := time.Now()
	recommender, err := model.OpenRecommender(dir, b.modelDevice, model.DefaultRankerConfig())
	f.load = time.Since(began)
	return recommender, err
}

// query sets the median times per user.
func (b *benchmark) query(ctx context.Context, r *model.Recommender, f *figures) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	var times [4][]float64
	for range b.rounds + 1 {
		queries := queriesOf(rng, f.items, defaultHistory, defaultBatch)
		began := time.Now()
		lists, timing, err := r.Recommend(ctx, queries)
		if err != nil {
			return err
		}
		if len(lists[0]) == 0 {
			return fmt.Errorf("no recommendations after %v", queries[0].Items)
		}
		for i, d := range []time.Duration{time.Since(began), timing.Prepare, timing.Network, timing.Fuse} {
			times[i] = append(times[i], d.Seconds()*1e3/defaultBatch)
		}
	}
	for i, median := range []*float64{&f.milliseconds, &f.prepare, &f.network, &f.fuse} {
		*median = measure.Median(times[i][1:]) // the first round warms up
	}
	return nil
}

// queriesOf draws users as shop does.
func queriesOf(rng *rand.Rand, items, history, batch int) []model.Query {
	queries := make([]model.Query, batch)
	groups := (items + groupItems - 1) / groupItems
	for i := range queries {
		group := rng.IntN(groups)
		for range history {
			item := group*groupItems + int(rng.Float64()*rng.Float64()*groupItems)
			queries[i].Items = append(queries[i].Items, itemID(item%items))
		}
	}
	return queries
}
