package retrain

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/registry"
)

// version is a training of a registry, and what it says.
func version(t *testing.T, models *registry.Registry, c Config, sequences []catalog.Sequence) Report {
	t.Helper()
	report, err := Run(t.Context(), c, sequences, models)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestWarmStartKeepsAccuracy(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	c.FinetuneEpochs, c.ValidationUsers, c.Patience, c.WarmStart.Share = 12, 30, 12, 0.1
	c.Model.Sequential, c.Model.Association = 0, 0 // test the network without rules
	first := version(t, models, c, ring(300))
	if first.WarmStart != nil || first.FromScratch == "" {
		t.Errorf("the first version started from %+v (from scratch because %q)", first.WarmStart, first.FromScratch)
	}
	grown := ring(330)
	for i := range 40 {
		grown[i].Items = append([]string{"new-item"}, grown[i].Items...)
	}
	second := version(t, models, c, grown)
	start := second.WarmStart
	if start == nil || start.From != first.Version || start.InARow != 1 || start.NewItems != 1 {
		t.Fatalf("the second version started from %+v (from scratch because %q), want %s, with one new item", start, second.FromScratch, first.Version)
	}
	if best := first.Validation[first.BestEpoch-1]; start.Before.NDCG10 < 0.9*best.NDCG10 {
		t.Errorf("before the first step, NDCG@10 is %.3f, want nearly the %.3f of the previous version", start.Before.NDCG10, best.NDCG10)
	}
	if len(second.PretrainLoss) != 0 || len(second.FinetuneLoss) != 2 {
		t.Errorf("%d and %d epochs, want no pretraining and a tenth of 12, rounded up", len(second.PretrainLoss), len(second.FinetuneLoss))
	}
	if second.LeaveOneOut.HR1 < 0.95 {
		t.Errorf("each item of the ring follows from the one before, but HR@1 is %.2f", second.LeaveOneOut.HR1)
	}
}

// TestWarmStartSmoothsEmbeddings checks that smoothing changes the initial weights, but not the reported
// validation of the previous version.
func TestWarmStartSmoothsEmbeddings(t *testing.T) {
	c := quick()
	c.FinetuneEpochs, c.ValidationUsers = 1, 10
	second := func(smoothing float64) Report {
		models := openRegistry(t)
		c := c
		c.WarmStart.Smoothing = smoothing
		version(t, models, c, ring(90))
		return version(t, models, c, ring(100))
	}
	with, without := second(1), second(0)
	if with.WarmStart == nil || without.WarmStart == nil {
		t.Fatalf("from scratch because %q and %q, want two warm starts", with.FromScratch, without.FromScratch)
	}
	if with.WarmStart.Before != without.WarmStart.Before {
		t.Errorf("the previous version is validated to %+v with smoothing and to %+v without", with.WarmStart.Before, without.WarmStart.Before)
	}
	if with.FinetuneLoss[0] == without.FinetuneLoss[0] {
		t.Error("all that is smooth and nothing that is smooth begin from the same weights")
	}
}

// TestWarmStartIsReproducible checks that seed and previous version determine the result.
func TestWarmStartIsReproducible(t *testing.T) {
	c := quick()
	second := func(seed int64) []byte {
		models := openRegistry(t)
		before := c
		before.Seed = seed
		version(t, models, before, ring(60))
		return weights(t, models, c, ring(70))
	}
	one := second(1)
	if !bytes.Equal(one, second(1)) {
		t.Error("one seed, one snapshot and one version before gave two models")
	}
	if bytes.Equal(one, second(2)) {
		t.Error("two versions before gave one model")
	}
}

func TestResumedWarmStartGivesTheSameModel(t *testing.T) {
	c := quick()
	c.FinetuneEpochs, c.ValidationUsers, c.WarmStart.Share = 3, 10, 1
	dir := t.TempDir()
	first, err := registry.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	version(t, first, c, ring(130))
	copied := func() *registry.Registry {
		to := t.TempDir()
		copyFolder(t, dir, to)
		models, err := registry.Open(to)
		if err != nil {
			t.Fatal(err)
		}
		return models
	}
	want := weights(t, copied(), c, ring(140))

	models := copied()
	stopRun(t, c, ring(140), models, "finetune", 5)
	resumed := &stopper{}
	again := c
	again.Progress = resumed
	if !bytes.Equal(weights(t, models, again, ring(140)), want) {
		t.Error("the resumed run came to another model than the one that was never stopped")
	}
	if resumed.before == 0 {
		t.Error("the run began again from the start")
	}
}

// TestValidationOfAWarmStartIsUnseen checks that a warm start is not validated on items that the previous
// version was trained on, however the data has changed.
func TestValidationOfAWarmStartIsUnseen(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		before := histories(rng, 0, 20+rng.IntN(200))
		c := quick()
		c.ValidationUsers = 1 + rng.IntN(40)
		numbers := catalogOf(t, before)
		first := holdOut(before, c.ValidationUsers, numbers.Interactions(), 1)
		seen := make(map[string]int) // number of trained items, by user
		for i, h := range split(before, numbers, first).histories {
			seen[before[i].User] = len(catalog.WithoutHeldOut(h.Items, 1))
		}

		after := slices.Clone(before[rng.IntN(len(before)/2):])
		for i := range after {
			for range rng.IntN(4) * rng.IntN(2) {
				after[i].Items = append(slices.Clone(after[i].Items), item(rng))
			}
		}
		after = append(after, histories(rng, len(before), rng.IntN(50))...)
		c.ValidationUsers = 1 + rng.IntN(40)
		numbers = catalogOf(t, after)
		second := holdOut(after, c.ValidationUsers, numbers.Interactions(), first.bound)
		for _, q := range split(after, numbers, second).validation {
			if answer := len(q.Items); answer < seen[q.User] {
				t.Fatalf("seed %d: user %s is validated on item %d, but the previous version was trained on the first %d", seed, q.User, answer+1, seen[q.User])
			}
		}
	}
}

func histories(rng *rand.Rand, from, users int) (all []catalog.Sequence) {
	for u := range users {
		s := catalog.Sequence{User: fmt.Sprintf("user-%04d", from+u)}
		for range 1 + rng.IntN(8) {
			s.Items = append(s.Items, item(rng))
		}
		all = append(all, s)
	}
	return all
}

func item(rng *rand.Rand) string { return fmt.Sprintf("item-%02d", rng.IntN(30)) }

func catalogOf(t *testing.T, sequences []catalog.Sequence) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Build(sequences, catalog.Options{Text: catalog.Literal})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIncompatibleVersionsAreTrainedFromScratch(t *testing.T) {
	type changes struct {
		first, second func(*Config)
		damage        func(dir string) error
		sequences     []catalog.Sequence // of the second training
	}
	for want, change := range map[string]changes{
		"it was requested":     {second: func(c *Config) { c.FromScratch = true }},
		"no warm_start":        {second: func(c *Config) { c.WarmStart = WarmStartRecipe{} }},
		"one training in 1 is": {second: func(c *Config) { c.ScratchEvery = 1 }},
		"differ in shape: encoder_ffn_dim is 512 there and 64 here": {second: func(c *Config) { c.Model.EncoderFFN = 64 }},
		errValidationSeen.Error():                                   {first: func(c *Config) { c.ValidationUsers = 2 }},
		"was written": {
			first: func(c *Config) {
				c.Text, c.StartFromUse, c.Model.ItemLeaves = catalog.Numbered, false, false
			},
			sequences: append(ring(90), catalog.Sequence{User: "zoe", Items: wide(100)}),
		},
		"there is no version to start from": {damage: func(dir string) error {
			return os.WriteFile(filepath.Join(dir, model.WeightsFile), []byte("torn"), 0o644)
		}},
	} {
		t.Run(want, func(t *testing.T) {
			models := openRegistry(t)
			c := quick()
			c.FinetuneEpochs = 1
			second := c
			if change.first != nil {
				change.first(&c)
				second.Text, second.StartFromUse, second.Model.ItemLeaves = c.Text, c.StartFromUse, c.Model.ItemLeaves
			}
			first := version(t, models, c, ring(90))
			if change.second != nil {
				change.second(&second)
			}
			if change.damage != nil {
				if err := change.damage(models.Dir(first.Version)); err != nil {
					t.Fatal(err)
				}
			}
			if change.sequences == nil {
				change.sequences = ring(90)
			}
			report := version(t, models, second, change.sequences)
			if report.WarmStart != nil || !strings.Contains(report.FromScratch, want) {
				t.Errorf("started from %+v (from scratch because %q), want a training from scratch because %q", report.WarmStart, report.FromScratch, want)
			}
			if len(report.PretrainLoss) != c.PretrainEpochs {
				t.Errorf("%d epochs of pretraining, want %d", len(report.PretrainLoss), c.PretrainEpochs)
			}
		})
	}
}

// wide returns sequences of many items that no other test uses.
func wide(items int) (all []string) {
	for i := range items {
		all = append(all, fmt.Sprintf("wide-%03d", i))
	}
	return all
}

func TestScratchEvery(t *testing.T) {
	c := DefaultConfig()
	c.ScratchEvery = 3
	p := &previousVersion{}
	var inARow []int
	for range 5 {
		n := 0
		if c.scratchReason(p) == "" {
			n = p.inARow()
		}
		inARow = append(inARow, n)
		p.report.WarmStart = &WarmStart{InARow: n}
	}
	if want := []int{1, 2, 0, 1, 2}; !slices.Equal(inARow, want) {
		t.Errorf("warm starts in a row: %v, want %v", inARow, want)
	}
	c.ScratchEvery = 0
	p.report.WarmStart.InARow = 1000
	if why := c.scratchReason(p); why != "" {
		t.Errorf("a training is from scratch because %q, but ScratchEvery is 0", why)
	}
}

// TestRejectedTrainingsCountTowardsScratchEvery checks that a gate that rejects every warm start does not
// prevent the next training from scratch.
func TestRejectedTrainingsCountTowardsScratchEvery(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	c.FinetuneEpochs, c.ScratchEvery = 1, 3
	var runs []int
	for range 5 {
		report := version(t, models, c, ring(120))
		n := 0
		if report.WarmStart != nil {
			n = report.WarmStart.Runs
		}
		if runs = append(runs, n); len(runs) > 1 && report.Gate.Promoted {
			t.Fatalf("%s, over the same items and no better, was promoted: the test needs rejections: %s", report.Version, report.Gate.Reason)
		}
	}
	if want := []int{0, 1, 2, 0, 1}; !slices.Equal(runs, want) {
		t.Errorf("trainings since one from scratch: %v, want %v: the third rejected one is from scratch", runs, want)
	}
}
