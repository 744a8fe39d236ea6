package retrain

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"genrec/pkg/registry"
)

func TestLimitSteps(t *testing.T) {
	for _, c := range []struct {
		budget        int
		planned, want []int
	}{
		{0, []int{30, 70}, []int{30, 70}},
		{100, []int{30, 70}, []int{30, 70}},
		{1000, []int{30, 70}, []int{30, 70}},
		{50, []int{30, 70}, []int{15, 35}},
		{7, []int{30, 70}, []int{2, 5}},
		{1, []int{30, 70}, []int{0, 1}},
		{20, []int{0, 70}, []int{0, 20}},
		{20, []int{70, 0}, []int{20, 0}},
	} {
		stages := make([]stage, len(c.planned))
		for i, steps := range c.planned {
			stages[i].steps = steps
		}
		Budget{Steps: c.budget}.limitSteps(stages)
		var got []int
		for _, s := range stages {
			got = append(got, s.steps)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d steps for %v: %v, want %v", c.budget, c.planned, got, c.want)
		}
	}
}

func TestTimeBudget(t *testing.T) {
	const planned = 1000
	start := time.Unix(1_000_000, 0)
	after := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	p := timeBudget{until: after(100), from: 1, reserve: 10 * time.Second}
	for _, c := range []struct {
		done    int
		seconds float64
		want    int
	}{
		{0, 0, planned},
		{1, 5, planned},     // the first step took 5 s, and is not typical
		{11, 10, planned},   // too few for an estimate
		{21, 15, 171},       // half a second per step, and 75 s left
		{101, 20, 567},      // faster than that
		{121, 80, 121 + 16}, // 0.625 s per step, and 10 s left
		{130, 89.99, 131},
		{131, 90, 131}, // the remaining time is for the validation
		{131, 300, 131},
	} {
		if got := p.steps(c.done, planned, after(c.seconds)); got != c.want {
			t.Errorf("after %d steps in %v s there is time for %d, want %d", c.done, c.seconds, got, c.want)
		}
	}
	if got := (&timeBudget{}).steps(5, planned, start); got != planned {
		t.Errorf("without a limit there is time for %d steps, want all %d", got, planned)
	}
}

func TestMaxStepsEndsTheTraining(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	c.Budget.Steps, c.FinetuneEpochs, c.ValidationUsers = 20, 4, 9
	steps := &counting{}
	c.Progress = steps
	report := version(t, models, c, ring(90))
	// 3 of the pretraining and 36 of the finetuning were planned, 9 an epoch.
	if steps.finetune != 19 || len(report.PretrainLoss) != 1 || len(report.FinetuneLoss) != 3 {
		t.Errorf("%d steps of finetuning, %d and %d epochs, want 19, 1 and 3, the last one incomplete", steps.finetune, len(report.PretrainLoss), len(report.FinetuneLoss))
	}
	if report.BestEpoch == 0 || len(report.Validation) != 3 {
		t.Errorf("best epoch %d of %d validations, want one of 3", report.BestEpoch, len(report.Validation))
	}
	for epoch, loss := range report.FinetuneLoss {
		if !(loss > 0.1 && loss < 20) {
			t.Errorf("the loss of epoch %d is %v, not a mean of its steps", epoch+1, loss)
		}
	}
}

func TestResumedRunWithMaxStepsGivesTheSameModel(t *testing.T) {
	c := quick()
	c.Budget.Steps, c.FinetuneEpochs, c.ValidationUsers = 20, 4, 9
	want := weights(t, openRegistry(t), c, ring(90))
	models := openRegistry(t)
	resumed := &stopper{}
	stopRun(t, c, ring(90), models, "finetune", 14)
	c.Progress = resumed
	if !bytes.Equal(weights(t, models, c, ring(90)), want) {
		t.Error("the resumed run came to another model than the one that was never stopped")
	}
	if resumed.before != 14 {
		t.Errorf("the run resumed at step %d, want 14", resumed.before)
	}
}

// TestMaxTimeEndsTheTraining checks that a training of hours ends after some seconds with the best epoch,
// and that the learning rate decays over this time.
func TestMaxTimeEndsTheTraining(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	c.Budget.Time = 6 * time.Second
	c.PretrainEpochs, c.FinetuneEpochs, c.ValidationUsers, c.Patience, c.ChooseWeights = 0, 1_000, 9, 1_000, false
	report := version(t, models, c, ring(900))
	if !slices.Equal(report.CutShort, []string{"finetune"}) || report.BestEpoch == 0 {
		t.Errorf("cut short: %q, best epoch %d, want the finetuning and one", report.CutShort, report.BestEpoch)
	}
	if report.TrainSeconds < 4 || report.TrainSeconds > 20 {
		t.Errorf("the training took %.1f s, want about 6", report.TrainSeconds)
	}
	rates := ratesOf(t, models, report.Version)
	if peak := c.LearningRate; len(rates) < 2 || slices.Max(rates) < peak/5 || rates[len(rates)-1] > slices.Max(rates)/2 {
		t.Errorf("the learning rates are %v, want them to rise towards %v and decay until the end", rates, peak)
	}
}

func ratesOf(t *testing.T, models *registry.Registry, version string) (rates []float64) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(models.Dir(version), CurvesFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var p curvePoint
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		if p.LearningRate > 0 {
			rates = append(rates, p.LearningRate)
		}
	}
	return rates
}

func TestMaxMemoryBeforeTheTraining(t *testing.T) {
	models := openRegistry(t)
	c := quick()
	c.Budget.Memory = 1
	if _, err := Run(t.Context(), c, ring(90), models); !errors.Is(err, ErrMemory) {
		t.Errorf("error %v, want ErrMemory", err)
	}
	if _, err := models.Current(t.Context()); !errors.Is(err, registry.ErrNoVersion) {
		t.Errorf("a version was published: %v", err)
	}
}

// TestMaxMemoryStopsWithACheckpoint checks that a training that exceeds its limit leaves a checkpoint, and
// resumes from it with a higher limit to the same model.
func TestMaxMemoryStopsWithACheckpoint(t *testing.T) {
	c := quick()
	c.FinetuneEpochs = 3
	want := weights(t, openRegistry(t), c, ring(90))
	models := openRegistry(t)
	resident, err := residentMemory()
	if err != nil {
		t.Fatal(err)
	}
	const allowed, ballast = 300 << 20, 600 << 20
	var held []byte
	greedy := c
	greedy.Budget.Memory = resident + allowed
	greedy.Progress = &stopper{stage: "finetune", at: 10, cancel: func() {
		held = make([]byte, ballast)
		for i := 0; i < ballast; i += 1 << 10 {
			held[i] = 1
		}
	}}
	if _, err := Run(t.Context(), greedy, ring(90), models); !errors.Is(err, ErrMemory) {
		t.Fatalf("error %v, want ErrMemory", err)
	}
	runtime.KeepAlive(held)
	held = nil
	resumed := &stopper{}
	c.Progress = resumed
	if !bytes.Equal(weights(t, models, c, ring(90)), want) {
		t.Error("the training that went on came to another model than the one that had the memory")
	}
	if resumed.before != stepsPerPoint {
		t.Errorf("the training resumed at step %d, want %d", resumed.before, stepsPerPoint)
	}
}
