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

// report prints a line on a training.
func report(name string, r retrain.Report) {
	whole := r.FinishedAt.Sub(r.StartedAt) - time.Duration(r.EvaluateSeconds*float64(time.Second))
	fmt.Printf("%-8s trained in %.1f s (%.1f s with the catalog and all else but the evaluation); validation ndcg@10 %.4f over %d users;"+
		" over the %d held back %.4f with the weights chosen, %.4f in the best epoch, %d of %d, and %.4f after the last\n",
		name, r.TrainSeconds, whole.Seconds(), r.LeaveOneOut.NDCG10, r.LeaveOneOut.Users,
		heldBack(r), published(r), best(r), r.BestEpoch, len(r.FinetuneLoss), last(r))
	if r.WarmStart != nil {
		fmt.Printf("%-8s began at %.4f over those held back, with %d new items\n", name, r.WarmStart.Before.NDCG10, r.WarmStart.NewItems)
	}
}

// best is what the users held back say of the best epoch.
func best(r retrain.Report) float64 {
	if r.BestEpoch == 0 {
		return 0
	}
	return r.Validation[r.BestEpoch-1].NDCG10
}

// last is what they say where the training ended: unlike the best of many, it owes nothing
// to the luck of being chosen.
func last(r retrain.Report) float64 {
	if len(r.Validation) == 0 {
		return 0
	}
	return r.Validation[len(r.Validation)-1].NDCG10
}

// published is what they say of the model that was published: of the best epoch, with the
// weights of the parts that were chosen.
func published(r retrain.Report) float64 {
	if r.Chosen == nil {
		return best(r)
	}
	return r.Chosen.NDCG10
}

// heldBack is how many they are.
func heldBack(r retrain.Report) int {
	if len(r.Validation) == 0 {
		return 0
	}
	return r.Validation[0].Users
}

// compare prints the last line, if both trainings were measured by the same users.
func (n *nights) compare() error {
	switch {
	case n.warm.WarmStart == nil:
		return fmt.Errorf("no warm start, because %s", n.warm.FromScratch)
	case n.scratch.BestEpoch == 0 || n.warm.BestEpoch == 0:
		return errors.New("nobody was held back for the validation: -set validation_users=100, or more data")
	case n.scratch.HeldBack != n.warm.HeldBack || heldBack(n.scratch) != heldBack(n.warm):
		return fmt.Errorf("from scratch, %d users were held back (lots below %v), and %d (%v) in the warm start: fewer are the same, -set validation_users=%d",
			heldBack(n.scratch), n.scratch.HeldBack, heldBack(n.warm), n.warm.HeldBack, heldBack(n.warm)*9/10)
	}
	curves := filepath.Join(n.models.Dir(n.warm.Version), retrain.CurvesFile)
	reachedLast, err := reachedAfter(curves, last(n.scratch))
	if err != nil {
		return err
	}
	fmt.Printf("warm_start scratch_s=%.1f warm_s=%.1f ratio=%.3f scratch_ndcg10=%.4f warm_ndcg10=%.4f scratch_published=%.4f warm_published=%.4f"+
		" scratch_best=%.4f warm_best=%.4f scratch_last=%.4f warm_last=%.4f reached_last_s=%s\n",
		n.scratch.TrainSeconds, n.warm.TrainSeconds, n.warm.TrainSeconds/n.scratch.TrainSeconds,
		n.scratch.LeaveOneOut.NDCG10, n.warm.LeaveOneOut.NDCG10, published(n.scratch), published(n.warm),
		best(n.scratch), best(n.warm), last(n.scratch), last(n.warm), reachedLast)
	return nil
}

// reachedAfter is the second at which a training's validation came to a goal; never, if it
// did not.
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
