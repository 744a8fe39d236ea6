package retrain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"genrec/model/catalog"
)

// copyFolder keeps a folder as a kill would have left it.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptedRunComesToTheSameModel(t *testing.T) {
	c, sequences := quick(), ring(130)
	c.FinetuneEpochs, c.ValidationUsers = 3, 10
	want := weights(t, openRegistry(t), c, sequences)
	for _, at := range []struct {
		stage string
		step  int
	}{{"pretrain", 1}, {"pretrain", 4}, {"finetune", 1}, {"finetune", 7}, {"finetune", 14}} {
		t.Run(fmt.Sprintf("%s %d", at.stage, at.step), func(t *testing.T) {
			models := openRegistry(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stopped := c
			stopped.Progress = &stopper{stage: at.stage, at: at.step, cancel: cancel}
			if _, err := Run(ctx, stopped, sequences, models); !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want context.Canceled", err)
			}
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

// A kill is worse than a stop: whatever was being written is cut short.
func TestKilledRunGoesOnFromTheLastCheckpoint(t *testing.T) {
	c, sequences := quick(), ring(130)
	c.FinetuneEpochs, c.ValidationUsers = 3, 10
	want := weights(t, openRegistry(t), c, sequences)

	stoppedAt := func(step int) string {
		models := openRegistry(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := c
		c.Progress = &stopper{stage: "finetune", at: step, cancel: cancel}
		if _, err := Run(ctx, c, sequences, models); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want context.Canceled", err)
		}
		return models.Workspace()
	}
	early, late := stoppedAt(6), stoppedAt(12)
	models := openRegistry(t)
	copyFolder(t, early, models.Workspace())
	// The files that the run wrote after its checkpoint, the newest one cut off.
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
		t.Errorf("the curves are torn (%v):\n%s", err, data)
	}
	if left := glob(t, filepath.Join(models.Workspace(), "*")); len(left) != 1 {
		t.Errorf("the finished run left %v, want the lock alone", left)
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

// A run that ended between the publication and the promotion does not publish a second time.
func TestPublishedRunIsPromoted(t *testing.T) {
	c, sequences := quick(), ring(130)
	models := openRegistry(t)
	lock := filepath.Join(filepath.Dir(models.Workspace()), ".CURRENT.lock") // that the promotion needs
	if err := os.Mkdir(lock, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), c, sequences, models); err == nil {
		t.Fatal("the run ended well, though it cannot promote")
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
		t.Errorf("the run is over, but %q are left", left)
	}
	next, err := Run(t.Context(), quick(), sequences, models)
	if err != nil || next.Version == report.Version {
		t.Errorf("the next run gives %q (%v), want a version of its own", next.Version, err)
	}
}

func TestAnotherRunStartsAnew(t *testing.T) {
	models := openRegistry(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := quick()
	c.Progress = &stopper{stage: "finetune", at: 2, cancel: cancel}
	if _, err := Run(ctx, c, ring(90), models); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
	fresh := &stopper{}
	c.Progress = fresh
	if _, err := Run(t.Context(), c, ring(91), models); err != nil {
		t.Fatal(err)
	}
	if fresh.before != 0 {
		t.Errorf("a run on another snapshot went on behind step %d of the old one", fresh.before)
	}
}

func TestTwoRunsDoNotShareAFolder(t *testing.T) {
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
		t.Errorf("the best epoch is said to be %d, the validation says %d", report.BestEpoch, best+1)
	}
	if epochs := len(report.Validation); epochs < c.FinetuneEpochs && epochs-report.BestEpoch != c.Patience {
		t.Errorf("stopped after epoch %d, %d epochs behind the best one, want %d", epochs, epochs-report.BestEpoch, c.Patience)
	}
}

// Redis moves on while a nightly run lies dead: the run keeps its own snapshot.
func TestInterruptedRunKeepsItsSnapshot(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	if found, _, err := Interrupted(t.Context(), c, models); err != nil || found != nil {
		t.Fatalf("no run was interrupted, but %v is found (%v)", found, err)
	}
	var sequences []catalog.Sequence
	c.Snapshot, sequences = collect(t, ring(90), models)
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = &stopper{stage: "finetune", at: 2, cancel: cancel}
	if _, err := Run(ctx, c, sequences, models); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
	before := c.Snapshot
	c.Snapshot = nil // the next process knows nothing of it
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
		t.Errorf("the run went on behind step %d (%v), want where it was", resumed.before, err)
	}
	if _, err := os.Stat(before.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the finished run left its snapshot in the workspace (%v)", err)
	}
}

// Without its snapshot, or with another one in its place, a run begins again.
func TestInterruptedRunWithoutItsSnapshot(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		models := openRegistry(t)
		c := quick()
		var sequences []catalog.Sequence
		c.Snapshot, sequences = collect(t, ring(90), models)
		ctx, cancel := context.WithCancel(t.Context())
		c.Progress = &stopper{stage: "finetune", at: 2, cancel: cancel}
		if _, err := Run(ctx, c, sequences, models); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want context.Canceled", err)
		}
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
