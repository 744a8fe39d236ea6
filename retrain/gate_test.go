package retrain

import (
	"context"
	"errors"
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

// night is a run that must come to a verdict.
func night(t *testing.T, models *registry.Registry, c Config, sequences []catalog.Sequence, promoted bool, reason string) Report {
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

// network is a training whose model knows no rules, so that it depends on what it learned.
func network(epochs int) Config {
	c := quick()
	c.FinetuneEpochs, c.ValidationUsers, c.Patience, c.ChooseWeights = epochs, 30, epochs, false
	c.Model.Sequential, c.Model.Association = 0, 0
	c.FromScratch = true // each night by itself
	return c
}

// shuffledTargets leaves each user the last two items, so that the question and its answer
// are as before, and gives the earlier ones, all that a training sees, to others.
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

func TestGateRefusesWhatIsNotBetter(t *testing.T) {
	models := openRegistry(t)
	c := network(12)
	first := night(t, models, c, ring(300), true, "there is no current version; better than the popular items")
	if first.Gate.Rival != gate.Popularity || first.Gate.LeaveOneOut.Users != 300 {
		t.Errorf("the verdict about the first version is %+v", first.Gate)
	}
	shuffled := night(t, models, c, shuffledTargets(ring(300)), false, "NDCG@10 on leave-one-out of 300 users")
	if v := shuffled.Gate; v.LeaveOneOut.High >= 0 || v.LeaveOneOut.Candidate > 0.5 {
		t.Errorf("the comparison %+v does not show that the shuffled targets made it worse", v.LeaveOneOut)
	}
	if want := "kept v000001, v000002 was refused: "; !strings.HasPrefix(shuffled.Outcome(), want) {
		t.Errorf("the outcome is %q, want it to begin with %q", shuffled.Outcome(), want)
	}
	again := c
	again.Seed++
	night(t, models, again, ring(300), false, "over the same items")
	night(t, models, network(1), ring(300), false, "worse")
}

func TestGatePromotesWhatIsBetter(t *testing.T) {
	models := openRegistry(t)
	night(t, models, network(1), ring(90), true, "too few users to compare it with the popular items: 90 of 100")
	better := night(t, models, network(12), ring(300), true, "better: ")
	if v := better.Gate; v.Rival != "v000001" || v.NewItems != 0 || v.LeaveOneOut.Users != 300 || v.LeaveOneOut.Low <= 0 {
		t.Errorf("the verdict is %+v", v)
	}
	grown := ring(300)
	for i := range 30 {
		grown[i].Items = slices.Insert(grown[i].Items, 2, "new")
	}
	if v := night(t, models, network(12), grown, true, "").Gate; v.NewItems != 1 {
		t.Errorf("one item is new, the verdict counts %d", v.NewItems)
	}
}

func TestBrokenCurrentVersionDoesNotBlock(t *testing.T) {
	models := openRegistry(t)
	first := night(t, models, quick(), ring(120), true, "").Version
	write(t, filepath.Join(models.Dir(first), model.WeightsFile), "{") // not what was published
	second := night(t, models, quick(), ring(120), true, "the current version v000001 is broken (").Version

	draft, err := models.Draft() // what was published is no model
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
	night(t, models, quick(), ring(120), true, "the current version v000003 is broken (")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// News are the last items that came after all that the current version was made of.
func TestGateAsksForNews(t *testing.T) {
	models := openRegistry(t)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sequences := ring(120)
	for i := range sequences {
		sequences[i].Newest = noon.Add(-time.Duration(i) * time.Minute)
	}
	if report := night(t, models, quick(), sequences, true, ""); !report.Watermark.Equal(noon) || report.Gate.Newest.Users != 0 {
		t.Errorf("the watermark is %v with %d users who have news, want %v and none", report.Watermark, report.Gate.Newest.Users, noon)
	}
	for i := range 40 {
		sequences[i].Newest = noon.Add(time.Hour)
	}
	c := quick()
	c.EvaluateUsers = 30
	report := night(t, models, c, sequences, false, "")
	if v := report.Gate; v.Newest.Users != 30 || v.LeaveOneOut.Users != 30 || report.LeaveOneOut.Users != 30 {
		t.Errorf("%d users are asked for news and %d for the rest, want 30 of each", v.Newest.Users, v.LeaveOneOut.Users)
	}
	if want := noon.Add(time.Hour); !report.Watermark.Equal(want) {
		t.Errorf("the watermark is %v, want the time of the newest item, %v", report.Watermark, want)
	}
}

func TestStoppedComparisonPublishesNothing(t *testing.T) {
	models := openRegistry(t)
	first := night(t, models, quick(), ring(90), true, "").Version
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := quick()
	c.Progress = &stopper{stage: "evaluate " + first, at: 1, cancel: cancel}
	if _, err := Run(ctx, c, ring(90), models); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if versions, err := models.Versions(t.Context()); err != nil || len(versions) != 1 {
		t.Errorf("versions %v (%v), want the first alone", versions, err)
	}
}

// A version that passes the gate does not end a split that goes on: it is published and waits.
func TestBetterVersionWaitsForASplit(t *testing.T) {
	models := openRegistry(t)
	night(t, models, network(1), ring(90), true, "")
	night(t, models, network(1), ring(90), false, "")
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
	if want := "v000003 passed the gate and waits, because the users are divided among v000001:60 v000002:40"; !strings.HasPrefix(report.Outcome(), want) {
		t.Errorf("the outcome is %q, want it to begin with %q", report.Outcome(), want)
	}
	if serving, err := models.Serving(t.Context()); err != nil || !slices.Equal(serving, split) {
		t.Errorf("%v is served (%v), want %v", serving, err, split)
	}
	if m, err := models.Manifest(t.Context(), report.Version); err != nil || m.State != registry.StatePublished {
		t.Errorf("%s is stored as %s (%v), want it published", report.Version, m.State, err)
	}
}
