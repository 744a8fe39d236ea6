package retrain

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/itemstats"
	"genrec/pkg/registry"
)

// TestDefaultRecipeLearns trains the default recipe, shortened: codes, every prefix, the dense head and the
// ensemble weights.
func TestDefaultRecipeLearns(t *testing.T) {
	c := quick()
	c.FinetuneEpochs, c.ValidationUsers, c.Patience = 12, 30, 12
	c.Model.Sequential, c.Model.Association = 0, 0 // the rules would predict a ring without the network
	models := openRegistry(t)
	report, err := Run(t.Context(), c, ring(300), models)
	if err != nil {
		t.Fatal(err)
	}
	if report.LeaveOneOut.HR1 < 0.95 {
		t.Errorf("each item of the ring follows from the one before, but HR@1 is %.2f", report.LeaveOneOut.HR1)
	}
	if losses := report.FinetuneLoss; losses[len(losses)-1] > losses[0]/2 {
		t.Errorf("the loss went from %.2f to %.2f: it should fall by half", losses[0], losses[len(losses)-1])
	}

	bundle, err := model.LoadBundle(models.Dir(report.Version), model.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer bundle.Model.Drop()
	if got := bundle.Model.Config.EnsembleWeights; got != report.Chosen.EnsembleWeights || !slices.Contains(report.Weights, *report.Chosen) {
		t.Errorf("the ensemble weights of the model are %+v; of %d grid points, %+v was chosen", got, len(report.Weights), report.Chosen)
	}
	for kind, learned := range bundle.Rules {
		if learned != nil {
			t.Errorf("the version has %v rules, which have no weight in the recipe", itemstats.RuleKind(kind))
		}
	}
	if users := bundle.Catalog.Users(); users != 0 {
		t.Errorf("the catalog holds %d users, although the model has no user embeddings", users)
	}
}

func TestEveryPrefixIsTrainedOn(t *testing.T) {
	c := quick()
	c.PretrainEpochs, c.FinetuneEpochs, c.BatchSize, c.ValidationUsers = 0, 1, 1, 0
	for _, every := range []bool{false, true} {
		for _, least := range []int{0, 700} {
			c.EveryPrefix, c.MinSteps = every, least
			perEpoch := 90 // one example per history
			if every {
				perEpoch = 90 * 3 // histories of five items have three prefixes, as the last item is held out
			}
			want := perEpoch
			for want < least {
				want += perEpoch
			}
			steps := &counting{}
			c.Progress = steps
			if _, err := Run(t.Context(), c, ring(90), openRegistry(t)); err != nil {
				t.Fatal(err)
			}
			if steps.finetune != want {
				t.Errorf("every prefix %v, at least %d steps: %d steps, want %d", every, least, steps.finetune, want)
			}
		}
	}
}

// counting counts the steps of the finetuning.
type counting struct {
	stage    string
	finetune int
}

func (c *counting) Start(stage string, _, _ int) { c.stage = stage }
func (c *counting) Finish()                      {}
func (c *counting) Step(float64) {
	if c.stage == "finetune" {
		c.finetune++
	}
}

// TestItemsKeepTheirCodes checks that items keep their codes from version to version.
func TestItemsKeepTheirCodes(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	before := codesAfter(t, models, c, ring(90))
	grown := ring(90)
	for i := range 20 {
		grown[i].Items = append([]string{fmt.Sprintf("new-%d", i%4)}, grown[i].Items...)
	}
	c.Seed++ // newly learned codes would differ
	after := codesAfter(t, models, c, grown)
	if len(after) != len(before)+4 {
		t.Errorf("%d items, want the previous %d and 4 new ones", len(after), len(before))
	}
	for item, code := range before {
		if after[item] != code {
			t.Errorf("the code of %s changed from %s to %s", item, code, after[item])
		}
	}

	if err := os.WriteFile(filepath.Join(models.Dir("v000002"), model.CatalogFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if anew := codesAfter(t, models, c, grown); len(anew) != len(after) {
		t.Errorf("with a damaged previous catalog, a run gives %d items codes, want %d", len(anew), len(after))
	}
}

// TestCodesOfAnotherKindAreLearnedAnew checks that the codes of a model without item leaves, which are not
// balanced, are not kept by one that has them.
func TestCodesOfAnotherKindAreLearnedAnew(t *testing.T) {
	c := quick()
	c.FinetuneEpochs = 1
	grown := ring(90)
	for i := range 20 {
		grown[i].Items = append([]string{fmt.Sprintf("new-%d", i%4)}, grown[i].Items...)
	}
	want := codesAfter(t, openRegistry(t), c, grown) // of the first version

	models, old := openRegistry(t), c
	old.Model.ItemLeaves, old.Model.Dense = false, 0.4
	codesAfter(t, models, old, ring(90))
	if got := codesAfter(t, models, c, grown); !maps.Equal(got, want) {
		t.Error("the items keep codes of a model without item leaves")
	}
}

func codesAfter(t *testing.T, models *registry.Registry, c Config, sequences []catalog.Sequence) map[string]string {
	t.Helper()
	stored, err := catalog.Load(filepath.Join(trained(t, models, c, sequences), model.CatalogFile))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for n := 1; n <= stored.Items(); n++ {
		texts[stored.ItemID(n)] = stored.ItemText(n)
	}
	if all := slices.Sorted(maps.Values(texts)); len(slices.Compact(all)) != stored.Items() {
		t.Errorf("%d items have %d codes", stored.Items(), len(all))
	}
	return texts
}

// TestEvaluateWeights checks that the metrics of each grid point equal those of a ranker with these weights.
func TestEvaluateWeights(t *testing.T) {
	sequences, start := ring(90), DefaultConfig().Model.EnsembleWeights
	dir := trained(t, openRegistry(t), quick(), sequences)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	bundle, err := model.LoadBundle(dir, model.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer bundle.Model.Drop()
	ranker, err := model.NewRanker(bundle, model.DefaultRankerConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer ranker.Close()
	var cases []evalCase
	for _, s := range sequences {
		cases = append(cases, newEvalCase(s, 1))
	}
	tried, gains, err := evaluateWeights(t.Context(), ranker, cases, weightGrid(start), noProgress{})
	if err != nil {
		t.Fatal(err)
	}
	// Three components in steps of a tenth, except rules alone.
	if want := 66 - 11; len(tried) != want {
		t.Errorf("%d grid points, want %d", len(tried), want)
	}
	if tried[0].EnsembleWeights != start {
		t.Errorf("%+v is tried first, want the recipe's %+v", tried[0].EnsembleWeights, start)
	}
	for i, got := range tried {
		sum := 0.0
		for _, gain := range gains[i] {
			sum += float64(gain)
		}
		if mean := sum / float64(len(cases)); math.Abs(mean-got.NDCG10) > 1e-6 {
			t.Errorf("weights %+v: the gains' mean is %v, NDCG@10 %v", got.EnsembleWeights, mean, got.NDCG10)
		}
		bundle.Model.SetEnsembleWeights(got.EnsembleWeights)
		want, err := evaluate(t.Context(), ranker, cases, "evaluate", noProgress{})
		if err != nil {
			t.Fatal(err)
		}
		if want.SearchShare <= 0 || want.SearchShare > 1+1e-9 || want.SearchHitShare > 1 {
			t.Errorf("weights %+v: the search found %v of the items and %v of the hits", got.EnsembleWeights, want.SearchShare, want.SearchHitShare)
		}
		want.SearchShare, want.SearchHitShare = 0, 0 // evaluateWeights knows ranks only
		if got.Metrics != want {
			t.Errorf("weights %+v: %+v, a ranker with them has %+v", got.EnsembleWeights, got.Metrics, want)
		}
	}
}

func TestWeightGridKeepsZeroWeights(t *testing.T) {
	for start, want := range map[model.EnsembleWeights]int{
		{}: 1, {Dense: 0.2}: weightSteps + 1, {Sequential: 1}: weightSteps, {Sequential: 0.5, Association: 0.5}: 66 - 11,
		{Dense: 0.4, Sequential: 0.3, Association: 0.2}: 286 - 11,
	} {
		all := weightGrid(start)
		if len(all) != want {
			t.Errorf("from %+v: %d grid points, want %d", start, len(all), want)
		}
		for _, w := range all {
			if (start.Dense == 0 && w.Dense > 0) || (start.Sequential == 0 && w.Sequential > 0) || (start.Association == 0 && w.Association > 0) {
				t.Errorf("from %+v: %+v gives a weight to a component without one", start, w)
			}
			if w.Sequential+w.Association > 0.99 {
				t.Errorf("from %+v: %+v gives a new user no recommendations", start, w)
			}
		}
	}
}

// TestRulesAreLearnedFromTrainingDataOnly checks that no rule leads to a held-out item.
func TestRulesAreLearnedFromTrainingDataOnly(t *testing.T) {
	c := quick()
	c.PretrainEpochs, c.FinetuneEpochs, c.ValidationUsers = 0, 1, 9
	sequences := ring(90)
	for i := range sequences { // the last two items of each user occur nowhere else
		last := len(sequences[i].Items) - 1
		sequences[i].Items[last] = "late-" + sequences[i].Items[last]
		if i%2 == 0 {
			sequences[i].Items[last-1] = "later-" + sequences[i].Items[last-1]
		}
	}
	models := openRegistry(t)
	dir := trained(t, models, c, sequences)
	bundle, err := model.LoadBundle(dir, model.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer bundle.Model.Drop()
	leadTo := make(map[string]bool)
	for item := range bundle.Catalog.Items() {
		follows := bundle.Rules[itemstats.Sequential].Predict([]int{item})
		for _, next := range follows.Ranked(bundle.Catalog.Items()) {
			leadTo[bundle.Catalog.ItemID(next+1)] = true
		}
	}
	later := 0
	for item := range leadTo {
		if strings.HasPrefix(item, "late-") {
			t.Errorf("a rule leads to %s, which is a held-out item", item)
		}
		if strings.HasPrefix(item, "later-") {
			later++
		}
	}
	if later == 0 {
		t.Error("no rule leads to the last items but one of users who are trained on")
	}
}
