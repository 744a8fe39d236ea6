package retrain

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/registry"
	"genrec/retrain/gate"
)

// runWithVerdict runs a training whose verdict must be the given one.
func runWithVerdict(t *testing.T, models *registry.Registry, c Config, sequences []catalog.Sequence, promoted bool, reason string) Report {
	t.Helper()
	before, _ := models.Current(t.Context())
	report, err := Run(t.Context(), c, sequences, models)
	if err != nil {
		t.Fatal(err)
	}
	if report.Gate.Promoted != promoted || !strings.Contains(report.Gate.Reason, reason) {
		t.Fatalf("promoted %v, %q; want %v with %q", report.Gate.Promoted, report.Gate.Reason, promoted, reason)
	}
	t.Log(report.Outcome())
	want := before
	if promoted {
		want = report.Version
	}
	if current, _ := models.Current(t.Context()); current != want {
		t.Errorf("current is %q after %q", current, report.Outcome())
	}
	manifest, err := models.Manifest(t.Context(), report.Version)
	if err != nil {
		t.Fatal(err)
	}
	if refused := manifest.State == registry.StateRefused; refused == promoted || refused && manifest.Reason != report.Gate.Reason {
		t.Errorf("%s is stored as %s (%q)", report.Version, manifest.State, manifest.Reason)
	}
	var stored Report
	if err := readJSON(filepath.Join(models.Dir(report.Version), MetricsFile), &stored); err != nil || stored.Gate.Reason != report.Gate.Reason || len(stored.Gate.Checks) == 0 {
		t.Errorf("%s holds the verdict %+v (%v), want that of the report", MetricsFile, stored.Gate, err)
	}
	return report
}

// network returns a training without rules, so that accuracy depends on the network.
func network(epochs int) Config {
	c := quick()
	c.FinetuneEpochs, c.ValidationUsers, c.Patience, c.ChooseWeights = epochs, 30, epochs, false
	c.Model.Sequential, c.Model.Association = 0, 0
	c.FromScratch = true // independent trainings
	return c
}

// shuffledTargets shuffles the items that are trained on among the users and keeps the last two of each
// user, so that the evaluation is unchanged.
func shuffledTargets(sequences []catalog.Sequence) []catalog.Sequence {
	var pool []string
	for _, s := range sequences {
		pool = append(pool, s.Items[:len(s.Items)-2]...)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	shuffled := slices.Clone(sequences)
	for i, s := range sequences {
		n := len(s.Items) - 2
		shuffled[i].Items = slices.Concat(pool[:n], s.Items[n:])
		pool = pool[n:]
	}
	return shuffled
}

func TestGateRejectsModelsThatAreNotBetter(t *testing.T) {
	models := openRegistry(t)
	c := network(12)
	first := runWithVerdict(t, models, c, ring(300), true, "there is no current version; better than the popular items")
	if first.Gate.Baseline != gate.Popularity || first.Gate.LeaveOneOut.Users != 300 {
		t.Errorf("the verdict on the first version is %+v", first.Gate)
	}
	shuffled := runWithVerdict(t, models, c, shuffledTargets(ring(300)), false, "NDCG@10 on leave-one-out of 300 users")
	if v := shuffled.Gate; v.LeaveOneOut.High >= 0 || v.LeaveOneOut.Candidate > 0.5 {
		t.Errorf("the comparison %+v does not show that the shuffled targets made it worse", v.LeaveOneOut)
	}
	if want := "kept v000001, v000002 was refused: "; !strings.HasPrefix(shuffled.Outcome(), want) {
		t.Errorf("the outcome is %q, want it to begin with %q", shuffled.Outcome(), want)
	}
	again := c
	again.Seed++
	runWithVerdict(t, models, again, ring(300), false, "over the same items")
	runWithVerdict(t, models, network(1), ring(300), false, "worse")
}

func TestGatePromotesBetterModels(t *testing.T) {
	models := openRegistry(t)
	runWithVerdict(t, models, network(1), ring(90), true, "too few users to compare it with the popular items: 90 of 100")
	better := runWithVerdict(t, models, network(12), ring(300), true, "better: ")
	if v := better.Gate; v.Baseline != "v000001" || v.NewItems != 0 || v.LeaveOneOut.Users != 300 || v.LeaveOneOut.Low <= 0 {
		t.Errorf("the verdict is %+v", v)
	}
	grown := ring(300)
	for i := range 30 {
		grown[i].Items = slices.Insert(grown[i].Items, 2, "new")
	}
	if v := runWithVerdict(t, models, network(12), grown, true, "").Gate; v.NewItems != 1 {
		t.Errorf("one item is new, the verdict counts %d", v.NewItems)
	}
}

func TestBrokenCurrentVersionDoesNotBlock(t *testing.T) {
	models := openRegistry(t)
	first := runWithVerdict(t, models, quick(), ring(120), true, "").Version
	write(t, filepath.Join(models.Dir(first), model.WeightsFile), "{") // a damaged version
	second := runWithVerdict(t, models, quick(), ring(120), true, "the current version v000001 is broken (").Version

	draft, err := models.Draft() // a valid version that is not a model
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	copyFolder(t, models.Dir(second), draft.Dir)
	write(t, filepath.Join(draft.Dir, model.ConfigFile), "{")
	third, err := draft.Publish(t.Context())
	if err == nil {
		err = models.Promote(t.Context(), third)
	}
	if err != nil {
		t.Fatal(err)
	}
	runWithVerdict(t, models, quick(), ring(120), true, "the current version v000003 is broken (")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGateEvaluatesNewestInteractions checks that items newer than the current version's snapshot are
// evaluated separately.
func TestGateEvaluatesNewestInteractions(t *testing.T) {
	models := openRegistry(t)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sequences := ring(120)
	for i := range sequences {
		sequences[i].Newest = noon.Add(-time.Duration(i) * time.Minute)
	}
	if report := runWithVerdict(t, models, quick(), sequences, true, ""); !report.Watermark.Equal(noon) || report.Gate.Newest.Users != 0 {
		t.Errorf("the watermark is %v with %d users with newer interactions, want %v and none", report.Watermark, report.Gate.Newest.Users, noon)
	}
	for i := range 40 {
		sequences[i].Newest = noon.Add(time.Hour)
	}
	c := quick()
	c.EvaluateUsers = 30
	report := runWithVerdict(t, models, c, sequences, false, "")
	if v := report.Gate; v.Newest.Users != 30 || v.LeaveOneOut.Users != 30 || report.LeaveOneOut.Users != 30 {
		t.Errorf("%d users are evaluated on the newest interactions and %d leave-one-out, want 30 of each", v.Newest.Users, v.LeaveOneOut.Users)
	}
	if want := noon.Add(time.Hour); !report.Watermark.Equal(want) {
		t.Errorf("the watermark is %v, want the time of the newest item, %v", report.Watermark, want)
	}
}

func TestStoppedComparisonPublishesNothing(t *testing.T) {
	models := openRegistry(t)
	first := runWithVerdict(t, models, quick(), ring(90), true, "").Version
	stopRun(t, quick(), ring(90), models, "evaluate "+first, 1)
	if versions, err := models.Versions(t.Context()); err != nil || len(versions) != 1 {
		t.Errorf("versions %v (%v), want only the first", versions, err)
	}
}

// TestBetterVersionWaitsForASplit checks that a version that passes the gate during a split is published,
// but not promoted.
func TestBetterVersionWaitsForASplit(t *testing.T) {
	models := openRegistry(t)
	runWithVerdict(t, models, network(1), ring(90), true, "")
	runWithVerdict(t, models, network(1), ring(90), false, "")
	split := []registry.Share{{Version: "v000001", Percent: 60}, {Version: "v000002", Percent: 40}}
	if err := models.PromoteShares(t.Context(), split); err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), network(12), ring(300), models)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Gate.Promoted || report.Serves() || !slices.Equal(report.Split, split) {
		t.Fatalf("promoted %v, serves %v, split %v: want a better version that waits for %v", report.Gate.Promoted, report.Serves(), report.Split, split)
	}
	if want := "v000003 passed the gate and waits for the end of the split v000001:60 v000002:40"; !strings.HasPrefix(report.Outcome(), want) {
		t.Errorf("the outcome is %q, want it to begin with %q", report.Outcome(), want)
	}
	if serving, err := models.Serving(t.Context()); err != nil || !slices.Equal(serving, split) {
		t.Errorf("%v is served (%v), want %v", serving, err, split)
	}
	if m, err := models.Manifest(t.Context(), report.Version); err != nil || m.State != registry.StatePublished {
		t.Errorf("%s is stored as %s (%v), want it published", report.Version, m.State, err)
	}
}
