package retrain

import "math"

// Metrics of rankings under leave-one-out with all items as candidates: hit ratio
// and normalized discounted cumulative gain at cut-offs (paper, section 7.2).
type Metrics struct {
	Users  int     `json:"users"`
	HR1    float64 `json:"hr@1"`
	HR5    float64 `json:"hr@5"`
	HR10   float64 `json:"hr@10"`
	NDCG5  float64 `json:"ndcg@5"`
	NDCG10 float64 `json:"ndcg@10"`
}

// add counts a user whose held-out item stands at a rank, from 0; a negative rank
// says that it was not found.
func (m *Metrics) add(rank int) {
	m.Users++
	if rank < 0 {
		return
	}
	gain := discounted(rank)
	if rank < 1 {
		m.HR1++
	}
	if rank < 5 {
		m.HR5++
		m.NDCG5 += gain
	}
	if rank < 10 {
		m.HR10++
		m.NDCG10 += gain
	}
}

// discounted is the gain of a hit at a rank.
func discounted(rank int) float64 { return 1 / math.Log2(float64(rank)+2) }

// gain10 is what a user adds to NDCG@10.
func gain10(rank int) float64 {
	if rank < 0 || rank >= 10 {
		return 0
	}
	return discounted(rank)
}

// mean turns the sums of add into means over the users.
func (m *Metrics) mean() {
	if m.Users == 0 {
		return
	}
	for _, sum := range []*float64{&m.HR1, &m.HR5, &m.HR10, &m.NDCG5, &m.NDCG10} {
		*sum /= float64(m.Users)
	}
}
