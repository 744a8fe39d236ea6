package retrain

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"genrec/model/catalog"
)

// copyFolder copies a folder in the state in which a kill would leave it.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestResumedRunGivesTheSameModel(t *testing.T) {
	c, sequences := quick(), ring(130)
	c.FinetuneEpochs, c.ValidationUsers = 3, 10
	want := weights(t, openRegistry(t), c, sequences)
	for _, at := range []struct {
		stage string
		step  int
	}{{"pretrain", 1}, {"pretrain", 4}, {"finetune", 1}, {"finetune", 7}, {"finetune", 14}} {
		t.Run(fmt.Sprintf("%s %d", at.stage, at.step), func(t *testing.T) {
			models := openRegistry(t)
			stopRun(t, c, sequences, models, at.stage, at.step)
			if _, err := os.Stat(filepath.Join(models.Workspace(), stateFile)); err != nil {
				t.Fatalf("the stopped run left no checkpoint: %v", err)
			}
			resumed := &stopper{}
			c := c
			c.Progress = resumed
			if !bytes.Equal(weights(t, models, c, sequences), want) {
				t.Error("the resumed run came to another model than the one that was never stopped")
			}
			if resumed.before == 0 {
				t.Error("the run began again from the start")
			}
		})
	}
}

// TestKilledRunResumes resumes a run whose files were truncated by a kill.
func TestKilledRunResumes(t *testing.T) {
	c, sequences := quick(), ring(130)
	c.FinetuneEpochs, c.ValidationUsers = 3, 10
	want := weights(t, openRegistry(t), c, sequences)

	stoppedAt := func(step int) string {
		models := openRegistry(t)
		stopRun(t, c, sequences, models, "finetune", step)
		return models.Workspace()
	}
	early, late := stoppedAt(6), stoppedAt(12)
	models := openRegistry(t)
	copyFolder(t, early, models.Workspace())
	// Files written after the checkpoint; the newest is truncated.
	for _, path := range glob(t, filepath.Join(late, "*.safetensors")) {
		if _, err := os.Stat(filepath.Join(models.Workspace(), filepath.Base(path))); err == nil {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(models.Workspace(), filepath.Base(path)), data[:len(data)/2], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	curves, err := os.OpenFile(filepath.Join(models.Workspace(), CurvesFile), os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := curves.WriteString(`{"stage":"finetu`); err != nil {
		t.Fatal(err)
	}
	curves.Close()
	if !bytes.Equal(weights(t, models, c, sequences), want) {
		t.Error("the run came to another model than the one that was never killed")
	}
	version, err := models.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(models.Dir(version), CurvesFile))
	if err != nil || strings.Contains(string(data), `{"stage":"finetu{`) {
		t.Errorf("the curves are corrupt (%v):\n%s", err, data)
	}
	if left := glob(t, filepath.Join(models.Workspace(), "*")); len(left) != 1 {
		t.Errorf("the finished run left %v, want only the lock", left)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestPublishedRunIsPromoted checks that a run that ended between publication and promotion does not
// publish a second version.
func TestPublishedRunIsPromoted(t *testing.T) {
	c, sequences := quick(), ring(130)
	models := openRegistry(t)
	lock := filepath.Join(filepath.Dir(models.Workspace()), ".CURRENT.lock") // makes the promotion fail
	if err := os.Mkdir(lock, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), c, sequences, models); err == nil {
		t.Fatal("the run succeeded although it could not promote")
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	again := &stopper{}
	c.Progress = again
	report, err := Run(t.Context(), c, sequences, models)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := models.Versions(t.Context())
	current, errCurrent := models.Current(t.Context())
	if err := errors.Join(err, errCurrent); err != nil || len(versions) != 1 || current != versions[0] || report.Version != current {
		t.Errorf("the report is on %q, of %q serves %q (%v): want the one that was published first", report.Version, versions, current, err)
	}
	if report.LeaveOneOut.Users == 0 || again.steps != 0 {
		t.Errorf("it trained %d steps again, or lost its report: %+v", again.steps, report)
	}
	if left := glob(t, filepath.Join(models.Workspace(), "*.json")); len(left) != 0 {
		t.Errorf("the run is finished, but %q are left", left)
	}
	next, err := Run(t.Context(), quick(), sequences, models)
	if err != nil || next.Version == report.Version {
		t.Errorf("the next run gives %q (%v), want a version of its own", next.Version, err)
	}
}

func TestOtherRunStartsFromTheBeginning(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	stopRun(t, c, ring(90), models, "finetune", 2)
	fresh := &stopper{}
	c.Progress = fresh
	if _, err := Run(t.Context(), c, ring(91), models); err != nil {
		t.Fatal(err)
	}
	if fresh.before != 0 {
		t.Errorf("a run on another snapshot resumed at step %d of the old one", fresh.before)
	}
}

func TestConcurrentRunsAreRejected(t *testing.T) {
	models := openRegistry(t)
	w, err := openWorkspace(models, identify(quick(), ring(90), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close(true)
	if _, err := Run(t.Context(), quick(), ring(90), models); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
}

func TestBestEpochBecomesTheModel(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	c.FinetuneEpochs, c.ValidationUsers, c.Patience = 12, 20, 2
	report, err := Run(t.Context(), c, ring(200), models)
	if err != nil {
		t.Fatal(err)
	}
	best := 0
	for i, m := range report.Validation {
		if m.Users != 20 {
			t.Errorf("epoch %d was validated on %d users, want 20", i+1, m.Users)
		}
		if m.NDCG10 > report.Validation[best].NDCG10 {
			best = i
		}
	}
	if report.BestEpoch != best+1 {
		t.Errorf("the reported best epoch is %d, but by the validation it is %d", report.BestEpoch, best+1)
	}
	if epochs := len(report.Validation); epochs < c.FinetuneEpochs && epochs-report.BestEpoch != c.Patience {
		t.Errorf("stopped after epoch %d, %d epochs behind the best one, want %d", epochs, epochs-report.BestEpoch, c.Patience)
	}
}

// TestInterruptedRunKeepsItsSnapshot checks that a run is resumed on its snapshot after Redis has changed.
func TestInterruptedRunKeepsItsSnapshot(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	if found, _, err := Interrupted(t.Context(), c, models); err != nil || found != nil {
		t.Fatalf("without an interrupted run, %v is found (%v)", found, err)
	}
	var sequences []catalog.Sequence
	c.Snapshot, sequences = collect(t, ring(90), models)
	stopRun(t, c, sequences, models, "finetune", 2)
	before := c.Snapshot
	c.Snapshot = nil // as in a new process
	found, again, err := Interrupted(t.Context(), c, models)
	if err != nil || found.Hash != before.Hash || fingerprint(again) != fingerprint(sequences) {
		t.Fatalf("%d sequences are found (%v), want the 90 of the interrupted run", len(again), err)
	}
	other := c
	other.Seed++
	if found, _, err := Interrupted(t.Context(), other, models); err != nil || found != nil {
		t.Errorf("%v is found for another seed (%v), want none", found, err)
	}
	resumed := &stopper{}
	c.Snapshot, c.Progress = found, resumed
	if _, err := Run(t.Context(), c, again, models); err != nil || resumed.before == 0 {
		t.Errorf("the run resumed at step %d (%v), want where it was interrupted", resumed.before, err)
	}
	if _, err := os.Stat(before.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the finished run left its snapshot in the workspace (%v)", err)
	}
}

// TestInterruptedRunWithoutItsSnapshot checks that a run whose snapshot is missing or replaced is not
// resumed.
func TestInterruptedRunWithoutItsSnapshot(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		models := openRegistry(t)
		c := quick()
		var sequences []catalog.Sequence
		c.Snapshot, sequences = collect(t, ring(90), models)
		stopRun(t, c, sequences, models, "finetune", 2)
		if err := os.RemoveAll(c.Snapshot.Dir); err != nil {
			t.Fatal(err)
		}
		if other, _ := collect(t, ring(80), models); replaced && other.Dir != c.Snapshot.Dir {
			t.Fatalf("the other snapshot is in %s, not in %s", other.Dir, c.Snapshot.Dir)
		} else if !replaced {
			if err := os.RemoveAll(other.Dir); err != nil {
				t.Fatal(err)
			}
		}
		if found, _, err := Interrupted(t.Context(), c, models); err != nil || found != nil {
			t.Errorf("replaced: %v: found %v (%v), want none", replaced, found, err)
		}
	}
}
