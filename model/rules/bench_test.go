package rules

import (
	"math/rand/v2"
	"testing"
)

// A shop of 10,000 items, some much more popular than others, and histories of ten.
func BenchmarkNext(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const items = 10_000
	histories := make([][]int, 20_000)
	for i := range histories {
		for range 10 {
			histories[i] = append(histories[i], int(items*rng.Float64()*rng.Float64()*rng.Float64()))
		}
	}
	r := Learn(Association, histories, items)
	b.ReportMetric(float64(r.Len())/items, "rules/item")
	for i := 0; b.Loop(); i++ {
		next := r.Next(histories[i%len(histories)])
		for _, item := range next.Best(120) {
			next.LogProb(item)
		}
	}
}
