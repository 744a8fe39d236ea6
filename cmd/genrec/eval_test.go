package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"genrec/retrain"
)

// retrain and eval on a dataset file report the same metrics.
func TestTrainAndEvaluateADataset(t *testing.T) {
	models := t.TempDir()
	recipe := filepath.Join(t.TempDir(), "quick.json")
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	report := runJSON[retrain.Report](t, "genrec", "retrain", "--data", "testdata/ring.txt", "--ids", "permuted",
		"--recipe", recipe, "--models", models, "--device", "cpu", "--json")
	if report.LeaveOneOut.Users != 60 || len(report.PretrainLoss) != 1 || len(report.FinetuneLoss) != 2 || report.PeakMemoryMB == 0 {
		t.Errorf("the report is %+v", report)
	}
	metrics := runJSON[retrain.Metrics](t, "genrec", "eval", "--data", "testdata/ring.txt", "--ids", "permuted",
		"--model", models, "--device", "cpu", "--json")
	if metrics != report.LeaveOneOut {
		t.Errorf("eval finds %+v, retrain found %+v", metrics, report.LeaveOneOut)
	}
	seen := runJSON[retrain.Metrics](t, "genrec", "eval", "--data", "testdata/ring.txt", "--ids", "permuted",
		"--model", filepath.Join(models, "versions", report.Version), "--device", "cpu", "--allow-seen", "--evaluate-users", "20", "--json")
	if seen.Users != 20 || seen.HR10 >= metrics.HR10 {
		t.Errorf("with seen items allowed, eval finds %+v: they should crowd out the others", seen)
	}
	for flags, want := range map[string]string{
		"--sequential-weight 0.5":  "the model has no sequential rules",
		"--association-weight 0.5": "the model has no association rules",
		"--dense-weight 1.2":       "--dense-weight: 1.2 is not between 0 and 1",
		"--dense-weight -1":        "--dense-weight: -1 is not between 0 and 1",
	} {
		line := []string{"genrec", "eval", "--data", "testdata/ring.txt", "--model", models, "--device", "cpu"}
		if err := newApp().Run(t.Context(), append(line, strings.Fields(flags)...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("eval %s: error %v, want one with %q", flags, err, want)
		}
	}
}
