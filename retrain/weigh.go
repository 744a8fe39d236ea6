package retrain

import "context"

// denseWeightSteps is how many steps there are from the beam search alone to the dense
// head alone.
const denseWeightSteps = 10

// weighed is what the validation says of a weight of the dense head.
type weighed struct {
	Weight float64 `json:"weight"`
	Metrics
}

// chooseDenseWeight gives the model the weight that answers the validation's questions
// best; of equally good ones, the first.
func (t *training) chooseDenseWeight(ctx context.Context) error {
	best := weighed{Weight: t.bundle.Model.Config.DenseWeight}
	t.at.DenseWeights = nil
	t.progress.Start("weigh the dense head", denseWeightSteps+1, 0)
	defer t.progress.Finish()
	for step := range denseWeightSteps + 1 {
		tried := weighed{Weight: float64(step) / denseWeightSteps}
		t.bundle.Model.SetDenseWeight(tried.Weight)
		var err error
		if tried.Metrics, err = evaluate(ctx, t.ranker, t.questions, "validate", silent{}); err != nil {
			return err
		}
		t.progress.Step(0)
		t.at.DenseWeights = append(t.at.DenseWeights, tried)
		if tried.NDCG10 > best.NDCG10 {
			best = tried
		}
	}
	t.bundle.Model.SetDenseWeight(best.Weight)
	t.config.Logger.InfoContext(ctx, "chose the weight of the dense head", "weight", best.Weight, "ndcg@10", best.NDCG10, "hr@10", best.HR10)
	return nil
}
