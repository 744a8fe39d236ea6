package retrain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"genrec/model"
	"genrec/model/dist"
	"genrec/model/safetensors"
	"genrec/pkg/registry"
)

// Environment variables of the ranks of a test.
const (
	testFolder = "GENREC_TEST_DIR"
	testVictim = "GENREC_TEST_VICTIM" // the rank that kills itself
)

// distributedConfig is the configuration of the distributed trainings.
func distributedConfig() Config {
	c := quick()
	c.PretrainEpochs, c.FinetuneEpochs, c.ValidationUsers, c.Patience = 1, 6, 10, 2
	return c
}

const distributedUsers = 130

// asRank runs the part of a test that runs in ranks, if this process is one. Each rank writes its error
// to a file.
func asRank(t *testing.T) (isRank bool) {
	t.Helper()
	p, isRank, err := dist.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if !isRank {
		return false
	}
	signal.Ignore(syscall.SIGTERM) // the ranks have to notice the loss themselves
	dir := os.Getenv(testFolder)
	if os.Getenv(testVictim) == fmt.Sprint(p.Rank) {
		go killAt(filepath.Join(dir, "step"))
	}
	c := dist.DefaultConfig(p)
	c.Heartbeat, c.Timeout = 100*time.Millisecond, 20*time.Second
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	g, err := dist.Join(ctx, cancel, c)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err = trainAsRank(ctx, t, g, dir); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(p.Rank)), fmt.Append(nil, err), 0o600); err != nil {
		t.Error(err)
	}
	return true
}

func trainAsRank(ctx context.Context, t *testing.T, g *dist.Group, dir string) error {
	if g.Rank > 0 {
		return RunWorker(ctx, g, model.CPU, 1, slog.Default())
	}
	models, err := registry.Open(dir)
	if err != nil {
		return err
	}
	c := distributedConfig()
	c.Group, c.Cores = g, 1
	c.Progress = &stopper{stage: "finetune", at: 9, cancel: func() { // waits for the victim, so that it dies there
		if os.Getenv(testVictim) != "" {
			t.Log(os.WriteFile(filepath.Join(dir, "step"), nil, 0o600))
			time.Sleep(time.Second)
		}
	}}
	report, err := Run(ctx, c, ring(distributedUsers), models)
	if err == nil {
		err = writeJSON(filepath.Join(dir, "report"), report)
	}
	if errors.Is(err, dist.ErrPeerLost) {
		return err
	}
	return errors.Join(err, g.End(err))
}

// killAt kills this process when a file appears.
func killAt(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// launchRanks runs the calling test again in two ranks, with the registry in a folder.
func launchRanks(t *testing.T, dir, victim string) error {
	t.Helper()
	t.Setenv(testFolder, dir)
	t.Setenv(testVictim, victim)
	return dist.Launch(t.Context(), 2, dist.GracePeriod, "-test.run", "^"+t.Name()+"$")
}

// compareWithOneProcess compares the results of two ranks with those of one process with two cores.
func compareWithOneProcess(t *testing.T, dir string) {
	t.Helper()
	alone, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := distributedConfig()
	c.Cores = 2
	want, err := Run(t.Context(), c, ring(distributedUsers), alone)
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := readJSON(filepath.Join(dir, "report"), &got); err != nil {
		t.Fatal(err)
	}
	same := func(what string, got, want []float64) {
		if len(got) != len(want) {
			t.Fatalf("%s: %d epochs, want %d", what, len(got), len(want))
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-4*want[i] {
				t.Errorf("%s of epoch %d is %.7f, in one process %.7f", what, i+1, got[i], want[i])
			}
		}
	}
	same("the loss of pretraining", got.PretrainLoss, want.PretrainLoss)
	same("the loss of finetuning", got.FinetuneLoss, want.FinetuneLoss)
	if got.BestEpoch != want.BestEpoch || len(got.Validation) != len(want.Validation) || got.LeaveOneOut.Users != want.LeaveOneOut.Users {
		t.Errorf("best of %d epochs is %d, in one process %d of %d", len(got.Validation), got.BestEpoch, want.BestEpoch, len(want.Validation))
	}
	mine := readWeights(t, filepath.Join(dir, "versions", got.Version, model.WeightsFile))
	for name, values := range readWeights(t, filepath.Join(alone.Dir(want.Version), model.WeightsFile)) {
		for i, x := range values {
			if len(mine[name]) != len(values) || math.Abs(float64(mine[name][i]-x)) > 1e-4+1e-3*math.Abs(float64(x)) {
				t.Fatalf("%s[%d] of %d differs from %v in one process", name, i, len(mine[name]), x)
			}
		}
	}
}

func readWeights(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	tensors, err := safetensors.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	weights := make(map[string][]float32)
	for _, s := range tensors {
		weights[s.Name] = s.Data
	}
	return weights
}

// Two ranks train, validate, stop early and publish like one process.
func TestDistributedTrainingEqualsOneProcess(t *testing.T) {
	if asRank(t) {
		return
	}
	dir := t.TempDir()
	if err := launchRanks(t, dir, ""); err != nil {
		t.Fatal(err)
	}
	compareWithOneProcess(t, dir)
}

// If a rank is killed within a stage, the other one ends within a bounded time and reports why. The
// next run results in the model of an undisturbed run; it resumes from a checkpoint if rank 0 survived.
func TestKilledRank(t *testing.T) {
	for _, victim := range []string{"0", "1"} {
		t.Run(victim, func(t *testing.T) {
			if asRank(t) {
				return
			}
			dir := t.TempDir()
			started := time.Now()
			err := launchRanks(t, dir, victim)
			if err == nil || !strings.Contains(err.Error(), "rank "+victim+": signal: killed") {
				t.Fatalf("error %v, want one that names the killed rank %s", err, victim)
			}
			if took := time.Since(started); took > 60*time.Second {
				t.Errorf("the ranks ended after %v", took)
			}
			survivor := map[string]string{"0": "1", "1": "0"}[victim]
			reported, missing := os.ReadFile(filepath.Join(dir, survivor))
			if missing != nil || !strings.Contains(string(reported), dist.ErrPeerLost.Error()) {
				t.Errorf("the other rank reported %q, %v, want %q; the ranks ended with %v", reported, missing, dist.ErrPeerLost, err)
			}
			models, err := registry.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			var saved checkpoint
			if err := readJSON(filepath.Join(models.Workspace(), stateFile), &saved); victim == "1" && (err != nil || saved.Stage != 1) {
				t.Errorf("rank 0 has written no checkpoint of the stage: %+v, %v", saved.trainingState, err)
			}
			if _, err := models.Current(t.Context()); err == nil {
				t.Error("a version was published")
			}
			if err := launchRanks(t, dir, ""); err != nil {
				t.Fatal(err)
			}
			compareWithOneProcess(t, dir)
		})
	}
}
