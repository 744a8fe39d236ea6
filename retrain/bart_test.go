package retrain

import (
	"os"
	"path/filepath"
	"testing"

	"genrec/model"
	"genrec/model/tokens"
)

const bpeFolder = "../model/tokens/testdata/bpe"

// bartFolder creates a Hugging Face folder with a small BART of random weights and a BPE vocabulary.
func bartFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	vocabulary, err := tokens.Load(bpeFolder)
	if err != nil {
		t.Fatal(err)
	}
	shape := quick().Model
	shape.Vocabulary, shape.Width, shape.NewestFirst, shape.ItemLeaves = vocabulary.Size(), 16, false, false
	m, err := model.New(shape, 1, model.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := vocabulary.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTrainsFromBART trains from a BART with literal ids and evaluates the published version.
func TestTrainsFromBART(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	recipe, err := LoadRecipe("bart")
	if err != nil {
		t.Fatal(err)
	}
	recipe.PretrainEpochs, recipe.FinetuneEpochs = c.PretrainEpochs, c.FinetuneEpochs
	c.Recipe, c.Pretrained = recipe, bartFolder(t)
	report, err := Run(t.Context(), c, ring(90), models)
	if err != nil {
		t.Fatal(err)
	}
	dir := models.Dir(report.Version)
	for _, name := range []string{tokens.VocabularyFile, tokens.MergesFile} {
		want, err := os.ReadFile(filepath.Join(bpeFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("the version's %s is not BART's (%v)", name, err)
		}
	}
	metrics, err := EvaluateStored(t.Context(), dir, model.CPU, c.Ranker, ring(90), 0, 1, nil)
	if err != nil || metrics != report.LeaveOneOut {
		t.Errorf("the stored version reaches %+v (%v), the run reported %+v", metrics, err, report.LeaveOneOut)
	}
}

func TestRecipesAreValid(t *testing.T) {
	for _, name := range Recipes() {
		if _, err := LoadRecipe(name); err != nil {
			t.Error(err)
		}
	}
}
