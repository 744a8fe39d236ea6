package retrain

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/registry"
)

// The default recipe as it is, but for its length: codes, every prefix, the dense head
// and its weight.
func TestDefaultRecipeLearns(t *testing.T) {
	c := quick()
	c.FinetuneEpochs, c.ValidationUsers, c.Patience = 12, 30, 12
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

	best := weighed{}
	for _, tried := range report.DenseWeights {
		if tried.NDCG10 > best.NDCG10 {
			best = tried
		}
	}
	bundle, err := model.LoadBundle(models.Dir(report.Version), model.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer bundle.Model.Drop()
	if got := bundle.Model.Config.DenseWeight; len(report.DenseWeights) != denseWeightSteps+1 || got != best.Weight {
		t.Errorf("the dense head weighs %v in the model; of %d tried, the validation likes %v best", got, len(report.DenseWeights), best.Weight)
	}
	if users := bundle.Catalog.Users(); users != 0 {
		t.Errorf("the catalog holds %d users, though the model has no use for them", users)
	}
}

func TestEveryPrefixIsAskedFor(t *testing.T) {
	c := quick()
	c.PretrainEpochs, c.FinetuneEpochs, c.BatchSize, c.ValidationUsers = 0, 1, 1, 0
	for _, every := range []bool{false, true} {
		for _, least := range []int{0, 700} {
			c.EveryPrefix, c.LeastSteps = every, least
			perEpoch := 90 // one item of each history
			if every {
				perEpoch = 90 * 3 // histories of five items have three to ask for, the last held out
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

// A shop's items keep their codes from one night to the next; new ones get theirs.
func TestItemsKeepTheirCodes(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	before := codesAfter(t, models, c, ring(90))
	grown := ring(90)
	for i := range 20 {
		grown[i].Items = append([]string{fmt.Sprintf("new-%d", i%4)}, grown[i].Items...)
	}
	c.Seed++ // codes learned anew would differ
	after := codesAfter(t, models, c, grown)
	if len(after) != len(before)+4 {
		t.Errorf("%d items, want the %d of before and 4 new ones", len(after), len(before))
	}
	for item, code := range before {
		if after[item] != code {
			t.Errorf("%s went from the code %s to %s", item, code, after[item])
		}
	}

	if err := os.WriteFile(filepath.Join(models.Dir("v000002"), model.CatalogFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if anew := codesAfter(t, models, c, grown); len(anew) != len(after) {
		t.Errorf("with a damaged catalog before it, a run gives %d items codes, want %d", len(anew), len(after))
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
		texts[stored.Item(n)] = stored.ItemText(n)
	}
	if all := slices.Sorted(maps.Values(texts)); len(slices.Compact(all)) != stored.Items() {
		t.Errorf("%d items have %d codes", stored.Items(), len(all))
	}
	return texts
}
