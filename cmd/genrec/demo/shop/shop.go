// Package shop generates a shop and the sequences of its customers, by a random seed. Items
// belong to topics: a few items and topics are popular and most are rare. Some items lead to
// others, and customers have tastes that drift, so that there is something to learn.
package shop

import (
	"math"
	"math/rand/v2"
)

// Parameters of the shop and of its customers.
const (
	successors     = 3    // items that tend to follow a given one
	meanEvents     = 10   // per user
	followChance   = 0.35 // probability that the next item is a successor of the last one
	tasteChance    = 0.4  // probability that it is from one of the user's tastes
	tasteDrift     = 0.06 // probability, at each event, that a taste is replaced
	tastesPerUser  = 2
	popularitySkew = 0.9 // Zipf exponent of items within a topic and of topics
)

// Shop is a generated shop.
type Shop struct {
	rng       *rand.Rand
	items     []Item
	byTopic   [][]string
	following map[string][]string
}

// MaxItems is the number of items with distinct titles.
const MaxItems = topics * perTopic

// New generates a shop of at most MaxItems items.
func New(seed int64, items int) *Shop {
	const shopStream = 12
	rng := rand.New(rand.NewPCG(uint64(seed), shopStream))
	s := &Shop{rng: rng, byTopic: make([][]string, topics), following: make(map[string][]string)}
	names := rng.Perm(items) // ids carry no information about topic or popularity
	for i, name := range names {
		item := describe(i, name)
		s.items = append(s.items, item)
		s.byTopic[i%topics] = append(s.byTopic[i%topics], item.ID)
	}
	for _, items := range s.byTopic {
		for _, item := range items {
			for range successors {
				s.following[item] = append(s.following[item], items[rng.IntN(len(items))])
			}
		}
	}
	return s
}

// Items returns all items of the shop.
func (s *Shop) Items() []Item { return s.items }

// Sequence generates the items of the next user, oldest first, each at most once.
func (s *Shop) Sequence() []string {
	tastes := make([]int, tastesPerUser)
	for i := range tastes {
		tastes[i] = s.zipf(topics)
	}
	bought := make(map[string]bool)
	var items []string
	for range 3 + s.poisson(meanEvents-3) {
		if s.rng.Float64() < tasteDrift {
			tastes[s.rng.IntN(len(tastes))] = s.zipf(topics)
		}
		if item := s.next(items, tastes); !bought[item] {
			bought[item] = true
			items = append(items, item)
		}
	}
	return items
}

func (s *Shop) next(items []string, tastes []int) string {
	chance := s.rng.Float64()
	if len(items) > 0 && chance < followChance {
		following := s.following[items[len(items)-1]]
		return following[s.rng.IntN(len(following))]
	}
	topic := s.zipf(topics)
	if chance < followChance+tasteChance {
		topic = tastes[s.rng.IntN(len(tastes))]
	}
	return s.byTopic[topic][s.zipf(len(s.byTopic[topic]))]
}

// zipf draws a rank below n, with a probability that decreases as a power of the rank.
func (s *Shop) zipf(n int) int {
	total := 0.0
	for rank := range n {
		total += math.Pow(float64(rank+1), -popularitySkew)
	}
	left := s.rng.Float64() * total
	for rank := range n {
		left -= math.Pow(float64(rank+1), -popularitySkew)
		if left < 0 {
			return rank
		}
	}
	return n - 1
}

// poisson draws a number by counting exponential gaps.
func (s *Shop) poisson(mean float64) int {
	count := 0
	for left := mean - s.rng.ExpFloat64(); left > 0; left -= s.rng.ExpFloat64() {
		count++
	}
	return count
}
