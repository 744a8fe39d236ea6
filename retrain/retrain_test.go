package retrain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/tokens"
	"genrec/pkg/registry"
)

func TestMetrics(t *testing.T) {
	var m Metrics
	for _, rank := range []int{0, 3, 9, 10, -1} {
		m.add(rank)
	}
	m.mean()
	gain := func(rank float64) float64 { return 1 / math.Log2(rank+2) }
	want := Metrics{
		Users: 5, HR1: 1. / 5, HR5: 2. / 5, HR10: 3. / 5,
		NDCG5: (gain(0) + gain(3)) / 5, NDCG10: (gain(0) + gain(3) + gain(9)) / 5,
	}
	if m != want {
		t.Errorf("got %+v, want %+v", m, want)
	}
}

func ring(users int) []catalog.Sequence {
	var all []catalog.Sequence
	for u := range users {
		s := catalog.Sequence{User: fmt.Sprintf("user-%03d", u)}
		for i := range 5 {
			s.Items = append(s.Items, fmt.Sprintf("item-%02d", (u+i)%30))
		}
		all = append(all, s)
	}
	return all
}

func quick() Config {
	c := DefaultConfig()
	c.PretrainEpochs, c.FinetuneEpochs, c.MinSteps, c.BatchSize = 1, 2, 0, 32
	return c
}

func openRegistry(t *testing.T) *registry.Registry {
	t.Helper()
	r, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunPublishesAVersion(t *testing.T) {
	models := openRegistry(t)
	report, err := Run(t.Context(), quick(), ring(90), models)
	if err != nil {
		t.Fatal(err)
	}
	current, err := models.Current(t.Context())
	if err != nil || current != report.Version {
		t.Errorf("current is %q (%v), want the version of the report, %q", current, err, report.Version)
	}
	if report.Users != 90 || report.Items != 30 || report.Interactions != 450 || report.LeaveOneOut.Users != 90 {
		t.Errorf("the report has the counts %+v", report)
	}
	if len(report.PretrainLoss) != 1 || len(report.FinetuneLoss) != 2 {
		t.Errorf("the report has losses of %d and %d epochs, want 1 and 2", len(report.PretrainLoss), len(report.FinetuneLoss))
	}
	for _, name := range []string{model.ConfigFile, model.WeightsFile, model.CatalogFile, tokens.VocabularyFile} {
		if _, err := os.Stat(filepath.Join(models.Dir(current), name)); err != nil {
			t.Errorf("the version lacks a file: %v", err)
		}
	}
	data, err := os.ReadFile(filepath.Join(models.Dir(current), MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var stored Report
	if err := json.Unmarshal(data, &stored); err != nil || stored.LeaveOneOut != report.LeaveOneOut {
		t.Errorf("%s says %+v (%v), want the metrics of the report", MetricsFile, stored.LeaveOneOut, err)
	}
}

// trained runs a training and returns the folder of the published version.
func trained(t *testing.T, models *registry.Registry, c Config, sequences []catalog.Sequence) string {
	t.Helper()
	report, err := Run(t.Context(), c, sequences, models)
	if err != nil {
		t.Fatal(err)
	}
	return models.Dir(report.Version)
}

// weights runs a training and returns the bytes of the version's weights.
func weights(t *testing.T, models *registry.Registry, c Config, sequences []catalog.Sequence) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(trained(t, models, c, sequences), model.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSeedDeterminesTheVersion(t *testing.T) {
	var versions [][]byte
	for _, seed := range []int64{3, 3, 4} {
		c := quick()
		c.Seed = seed
		versions = append(versions, weights(t, openRegistry(t), c, ring(60)))
	}
	if !bytes.Equal(versions[0], versions[1]) {
		t.Error("one seed and one snapshot gave two models")
	}
	if bytes.Equal(versions[0], versions[2]) {
		t.Error("two seeds gave one model")
	}
}

// stopper cancels a run at a step of a stage.
type stopper struct {
	stage  string
	at     int
	cancel context.CancelFunc

	current string
	steps   int
	before  int // maximum number of steps that a stage had done when it was resumed
}

func (s *stopper) Start(stage string, _, done int) {
	s.current, s.steps = stage, done
	s.before = max(s.before, done)
}
func (s *stopper) Finish() {}
func (s *stopper) Step(float64) {
	if s.steps++; s.current == s.stage && s.steps == s.at {
		s.cancel()
	}
}

// stopRun runs a training that is canceled at a step of a stage.
func stopRun(t *testing.T, c Config, sequences []catalog.Sequence, models *registry.Registry, stage string, step int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Progress = &stopper{stage: stage, at: step, cancel: cancel}
	if _, err := Run(ctx, c, sequences, models); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
}

func TestStoppedRunPublishesNothing(t *testing.T) {
	for _, stage := range []string{"pretrain", "finetune", "evaluate"} {
		t.Run(stage, func(t *testing.T) {
			models := openRegistry(t)
			stopRun(t, quick(), ring(90), models, stage, 1)
			if _, err := models.Current(t.Context()); !errors.Is(err, registry.ErrNoVersion) {
				t.Errorf("a stopped run left a current version: %v", err)
			}
		})
	}
}

func TestValidateNamesTheSetting(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"item_text":         func(c *Config) { c.Text = "" },
		"d_model":           func(c *Config) { c.Model.Width = 0 },
		"pretrain_epochs":   func(c *Config) { c.PretrainEpochs = -1 },
		"finetune_epochs":   func(c *Config) { c.FinetuneEpochs = -1 },
		"least_steps":       func(c *Config) { c.MinSteps = -1 },
		"batch_size":        func(c *Config) { c.BatchSize = 0 },
		"learning_rate":     func(c *Config) { c.LearningRate = 0 },
		"weight_decay":      func(c *Config) { c.WeightDecay = math.NaN() },
		"unknown_user":      func(c *Config) { c.UnknownUser = 1.5 },
		"hidden_items":      func(c *Config) { c.HiddenItems = -1 },
		"dense_loss":        func(c *Config) { c.DenseLoss = math.NaN() },
		"dense_weight":      func(c *Config) { c.Model.Dense = 1.5 },
		"sequential_weight": func(c *Config) { c.Model.Sequential = -0.5 },
		"start_from_use":    func(c *Config) { c.Text, c.StartFromUse = catalog.Numbered, true },
		"validation_users":  func(c *Config) { c.ValidationUsers = -1 },
		"patience":          func(c *Config) { c.Patience = 0 },
		"share":             func(c *Config) { c.WarmStart.Share = 1.5 },
		"warm_start":        func(c *Config) { c.WarmStart.LearningRate = 0 },
		"smoothing":         func(c *Config) { c.WarmStart.Smoothing = -0.5 },
		"from scratch":      func(c *Config) { c.ScratchEvery = -1 },
		"users to evaluate": func(c *Config) { c.EvaluateUsers = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that names %q", err, want)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default configuration is rejected: %v", err)
	}
}

func TestLoadRecipeChangesSettings(t *testing.T) {
	r, err := LoadRecipe(DefaultRecipe, "batch_size=64", "model.dropout=0.25", "item_text=walk", "start_from_use=false", "model.genrec_item_leaves=false", "warm_start.share=0.5")
	if err != nil {
		t.Fatal(err)
	}
	want, err := LoadRecipe(DefaultRecipe)
	if err != nil {
		t.Fatal(err)
	}
	want.BatchSize, want.Model.Dropout, want.Text, want.StartFromUse = 64, 0.25, catalog.Numbered, false
	want.WarmStart.Share, want.Model.ItemLeaves = 0.5, false
	if r != want {
		t.Errorf("the changed recipe is %+v, want %+v", r, want)
	}
	for change, message := range map[string]string{
		"batch_size":      "field=value",
		"bacth_size=64":   "bacth_size",
		"model.depth=2":   "depth",
		"mode.depth=2":    "no mode",
		"batch_size=many": "batch_size",
		"batch_size=0":    "not positive",
	} {
		if _, err := LoadRecipe(DefaultRecipe, change); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("change %q: error %v, want one with %q", change, err, message)
		}
	}
}
