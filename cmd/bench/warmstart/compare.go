package warmstart

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"genrec/retrain"
)

// report prints the time and the quality of a training.
func report(name string, r retrain.Report) {
	whole := r.FinishedAt.Sub(r.StartedAt) - time.Duration(r.EvaluateSeconds*float64(time.Second))
	fmt.Printf("%-8s trained in %.1f s (%.1f s in total without the evaluation); validation ndcg@10 %.4f of %d users;"+
		" of %d held-out users %.4f as published, %.4f in the best epoch, %d of %d, and %.4f in the last epoch\n",
		name, r.TrainSeconds, whole.Seconds(), r.LeaveOneOut.NDCG10, r.LeaveOneOut.Users,
		heldOutUsers(r), published(r), best(r), r.BestEpoch, len(r.FinetuneLoss), last(r))
	if r.WarmStart != nil {
		fmt.Printf("%-8s started at %.4f of the held-out users, with %d new items\n", name, r.WarmStart.Before.NDCG10, r.WarmStart.NewItems)
	}
}

// best returns NDCG@10 of the held-out users in the best epoch.
func best(r retrain.Report) float64 {
	if r.BestEpoch == 0 {
		return 0
	}
	return r.Validation[r.BestEpoch-1].NDCG10
}

// last returns NDCG@10 of the held-out users in the last epoch, which has no selection bias, unlike the best
// epoch.
func last(r retrain.Report) float64 {
	if len(r.Validation) == 0 {
		return 0
	}
	return r.Validation[len(r.Validation)-1].NDCG10
}

// published returns NDCG@10 of the held-out users with the published model: the best epoch with the selected
// ensemble weights.
func published(r retrain.Report) float64 {
	if r.Chosen == nil {
		return best(r)
	}
	return r.Chosen.NDCG10
}

// heldOutUsers returns the number of users held out for validation.
func heldOutUsers(r retrain.Report) int {
	if len(r.Validation) == 0 {
		return 0
	}
	return r.Validation[0].Users
}

// compare prints the last line if both trainings were validated with the same users.
func (c *comparison) compare() error {
	switch {
	case c.warm.WarmStart == nil:
		return fmt.Errorf("the training did not warm start: %s", c.warm.FromScratch)
	case c.scratch.BestEpoch == 0 || c.warm.BestEpoch == 0:
		return errors.New("no users were held out for validation: use -set validation_users=100, or more data")
	case c.scratch.HeldBack != c.warm.HeldBack || heldOutUsers(c.scratch) != heldOutUsers(c.warm):
		return fmt.Errorf("%d users (hashes below %v) were held out from scratch, and %d (%v) with the warm start: use fewer, -set validation_users=%d",
			heldOutUsers(c.scratch), c.scratch.HeldBack, heldOutUsers(c.warm), c.warm.HeldBack, heldOutUsers(c.warm)*9/10)
	}
	curves := filepath.Join(c.models.Dir(c.warm.Version), retrain.CurvesFile)
	reachedLast, err := reachedAfter(curves, last(c.scratch))
	if err != nil {
		return err
	}
	fmt.Printf("warm_start scratch_s=%.1f warm_s=%.1f ratio=%.3f scratch_ndcg10=%.4f warm_ndcg10=%.4f scratch_published=%.4f warm_published=%.4f"+
		" scratch_best=%.4f warm_best=%.4f scratch_last=%.4f warm_last=%.4f reached_last_s=%s\n",
		c.scratch.TrainSeconds, c.warm.TrainSeconds, c.warm.TrainSeconds/c.scratch.TrainSeconds,
		c.scratch.LeaveOneOut.NDCG10, c.warm.LeaveOneOut.NDCG10, published(c.scratch), published(c.warm),
		best(c.scratch), best(c.warm), last(c.scratch), last(c.warm), reachedLast)
	return nil
}

// reachedAfter returns the second at which the validation of a training reached a value, or "never".
func reachedAfter(curves string, goal float64) (second string, err error) {
	file, err := os.Open(curves)
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines := json.NewDecoder(bufio.NewReader(file))
	for {
		var point struct {
			Seconds    float64          `json:"seconds"`
			Validation *retrain.Metrics `json:"validation"`
		}
		err := lines.Decode(&point)
		if errors.Is(err, io.EOF) {
			return "never", nil
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", curves, err)
		}
		if point.Validation != nil && point.Validation.NDCG10 >= goal {
			return fmt.Sprintf("%.1f", point.Seconds), nil
		}
	}
}
