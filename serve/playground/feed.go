package playground

import (
	"math"
	"slices"
	"time"

	"genrec/pkg/recs"
)

// Bounds of the state.
const (
	maxRows      = 40
	maxUsers     = 12
	maxShelf     = 48
	maxRowItems  = 5
	maxFreshness = 500
	hitRateAt    = 10 // list length for hit rates
)

// Written is a recommendation list that was just written, with the events that led to it. Its
// fields are those of inference.Written, so that one converts to the other.
type Written struct {
	Recommendations recs.List   // the new list
	Replaced        recs.List   // the list before it, zero if there was none
	Items           []string    // the user's sequence, oldest first
	ProducedAt      []time.Time // when the events behind the refresh were produced; none after a model swap
	WrittenAt       time.Time   // when the list was written
}

// row is a line of the activity table: the events of a user and the list written after them.
type row struct {
	User    string    `json:"user"`
	Items   []string  `json:"items"` // of the events, newest last; empty after a model swap
	Hits    int       `json:"hits"`  // items that were in the previous list
	Next    []string  `json:"next"`  // the first items of the new list
	Version string    `json:"version"`
	Took    float64   `json:"took_ms"` // from the newest event to the list
	At      time.Time `json:"at"`
}

// feed is the recent activity of all users, with figures computed from it.
type feed struct {
	rows        []row
	users       []string // recently active, newest first
	recentItems []string // newest first
	popular     []string // best first
	version     string   // of the model that made the newest list

	fresh       []freshness // newest last
	events      int         // whose lists were written
	lastEvents  int         // events until the last tick
	perSecond   int
	rated       int // events of users who had a list
	hits        int
	popularHits int
	rates       curve // hit rate
	popRates    curve // hit rate of the popular items
}

// add records a written list and returns its row. Events of users with an open page are left out
// of the hit rates: people click what they are shown.
func (f *feed) add(w Written, hasPage bool) row {
	list := w.Recommendations
	r := row{User: list.User, Items: []string{}, Next: itemIDs(list), Version: list.ModelVersion, At: w.WrittenAt}
	r.Next = r.Next[:min(maxRowItems, len(r.Next))]
	f.version = list.ModelVersion
	f.users = moveToFront(f.users, list.User, maxUsers)
	if len(w.ProducedAt) == 0 {
		return r
	}
	took := w.WrittenAt.Sub(slices.MaxFunc(w.ProducedAt, time.Time.Compare))
	r.Took = float64(took.Microseconds()) / 1000
	f.fresh = last(append(f.fresh, freshness{w.WrittenAt, took}), maxFreshness)

	added := int(min(max(0, list.SequenceVersion-w.Replaced.SequenceVersion), int64(len(w.Items))))
	before, items := w.Items[:len(w.Items)-added], w.Items[len(w.Items)-added:]
	f.events += len(items)
	hits, popular, rated := countHits(w.Replaced, before, items, f.popular)
	r.Hits = hits
	if !hasPage {
		f.rated, f.hits, f.popularHits = f.rated+rated, f.hits+hits, f.popularHits+popular
	}
	for _, item := range last(items, maxRowItems) {
		r.Items = append(r.Items, item)
		f.recentItems = moveToFront(f.recentItems, item, maxShelf)
	}
	if len(r.Items) > 0 {
		f.rows = last(append(f.rows, r), maxRows)
	}
	return r
}

// countHits counts the items that were at the top of the replaced list, if it was a model's,
// and those among the most popular items that the user had not used before.
func countHits(replaced recs.List, before, items, popular []string) (hits, popularHits, rated int) {
	if replaced.Source != recs.SourceModel {
		return 0, 0, 0
	}
	list := itemIDs(replaced)
	list = list[:min(hitRateAt, len(list))]
	var baseline []string
	for _, item := range popular {
		if len(baseline) < hitRateAt && !slices.Contains(before, item) {
			baseline = append(baseline, item)
		}
	}
	for _, item := range items {
		if slices.Contains(list, item) {
			hits++
		}
		if slices.Contains(baseline, item) {
			popularHits++
		}
	}
	return hits, popularHits, len(items)
}

// freshFor is the window of the freshness quantiles. It is short, because events that waited for
// the first model are not typical.
const freshFor = 10 * time.Second

// freshness is the time from the newest event to the written list.
type freshness struct {
	at   time.Time
	took time.Duration
}

// tick updates the figures each second.
func (f *feed) tick(now time.Time) {
	f.fresh = slices.DeleteFunc(f.fresh, func(of freshness) bool { return now.Sub(of.at) > freshFor })
	f.perSecond, f.lastEvents = f.events-f.lastEvents, f.events
	if f.perSecond > 0 && f.rated > 0 {
		f.rates.add(float64(f.hits) / float64(f.rated))
		f.popRates.add(float64(f.popularHits) / float64(f.rated))
	}
}

// figures are the numbers at the top of the page, and the curves of the hit rates.
type figures struct {
	Version     string  `json:"version"`
	PerSecond   int     `json:"per_second"`
	Events      int     `json:"events"`
	FreshP50    float64 `json:"fresh_p50_ms"`
	FreshP95    float64 `json:"fresh_p95_ms"`
	Rated       int     `json:"rated"`
	Hits        int     `json:"hits"`
	PopularHits int     `json:"popular_hits"`
	Rates       []point `json:"rates"`
	PopRates    []point `json:"popular_rates"`
}

func (f *feed) figures() figures {
	sorted := make([]time.Duration, len(f.fresh))
	for i, of := range f.fresh {
		sorted[i] = of.took
	}
	slices.Sort(sorted)
	quantile := func(q float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return float64(sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)].Microseconds()) / 1000
	}
	return figures{
		Version: f.version, PerSecond: f.perSecond, Events: f.events, FreshP50: quantile(.5), FreshP95: quantile(.95),
		Rated: f.rated, Hits: f.hits, PopularHits: f.popularHits, Rates: f.rates.copy(), PopRates: f.popRates.copy(),
	}
}

func itemIDs(l recs.List) []string {
	all := make([]string, len(l.Items))
	for i, scored := range l.Items {
		all[i] = scored.Item
	}
	return all
}

// moveToFront puts s first, without a duplicate, and keeps at most limit strings.
func moveToFront(all []string, s string, limit int) []string {
	all = slices.DeleteFunc(all, func(other string) bool { return other == s })
	all = slices.Insert(all, 0, s)
	return all[:min(limit, len(all))]
}

// last returns the last n elements, in an array that does not grow.
func last[T any](all []T, n int) []T {
	if excess := len(all) - n; excess > 0 {
		all = slices.Delete(slices.Clone(all), 0, excess)
	}
	return all
}

// point is a point of a curve.
type point struct {
	X int     `json:"x"` // number of values so far
	Y float64 `json:"y"` // mean of the values since the previous point
}

const maxPoints = 120

// curve downsamples a series of values to at most maxPoints: when it is full, it merges pairs of
// points and doubles its stride.
type curve struct {
	points []point
	stride int // values per point
	values int
	sum    float64
	summed int
}

func (c *curve) add(y float64) {
	c.stride = max(c.stride, 1)
	c.values++
	c.sum += y
	if c.summed++; c.summed < c.stride {
		return
	}
	c.points = append(c.points, point{c.values, c.sum / float64(c.summed)})
	c.sum, c.summed = 0, 0
	if len(c.points) == maxPoints {
		for i := range maxPoints / 2 {
			a, b := c.points[2*i], c.points[2*i+1]
			c.points[i] = point{b.X, (a.Y + b.Y) / 2}
		}
		c.points = c.points[:maxPoints/2]
		c.stride *= 2
	}
}

func (c *curve) copy() []point { return append([]point{}, c.points...) }
