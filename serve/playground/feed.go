package playground

import (
	"math"
	"slices"
	"time"

	"genrec/inference"
	"genrec/pkg/recs"
)

// Bounds of what is remembered.
const (
	maxRows      = 40
	maxPeople    = 12
	maxShelf     = 48
	maxRowItems  = 5
	maxFreshness = 500
	cutOff       = 10 // of the hit rates
)

// row is a list that was written, and the events that it answers.
type row struct {
	User    string    `json:"user"`
	Items   []string  `json:"items"` // newest last; none where another model has come
	Hits    int       `json:"hits"`  // of them in the list before
	Next    []string  `json:"next"`  // the list begins with
	Version string    `json:"version"`
	Took    float64   `json:"took_ms"` // from the newest event to the list
	At      time.Time `json:"at"`
}

// feed is what the page shows of everybody.
type feed struct {
	rows    []row
	people  []string // newest first
	shelf   []string // items, newest first
	popular []string // best first
	version string

	fresh     []freshness // newest last
	events    int         // answered
	lastBeat  int         // events until then
	perSecond int
	rated     int // events of those who had a list
	hits      int
	popHits   int
	rates     curve // hit rate
	popRates  curve // that of the popular items
}

// add takes in a list and returns what to show of it. Who is played by a person at a page
// does not count for the hit rate: whoever looks at a list clicks what is there.
func (f *feed) add(w inference.Written, played bool) row {
	list := w.Recommendations
	r := row{User: list.User, Items: []string{}, Next: ids(list), Version: list.ModelVersion, At: w.WrittenAt}
	r.Next = r.Next[:min(maxRowItems, len(r.Next))]
	f.version = list.ModelVersion
	f.people = recent(f.people, list.User, maxPeople)
	if len(w.ProducedAt) == 0 {
		return r
	}
	took := w.WrittenAt.Sub(slices.MaxFunc(w.ProducedAt, time.Time.Compare))
	r.Took = float64(took.Microseconds()) / 1000
	f.fresh = latest(append(f.fresh, freshness{w.WrittenAt, took}), maxFreshness)

	fresh := int(min(max(0, list.SequenceVersion-w.Replaced.SequenceVersion), int64(len(w.Items))))
	before, items := w.Items[:len(w.Items)-fresh], w.Items[len(w.Items)-fresh:]
	f.events += len(items)
	hits, popular, rated := compare(w.Replaced, before, items, f.popular)
	r.Hits = hits
	if !played {
		f.rated, f.hits, f.popHits = f.rated+rated, f.hits+hits, f.popHits+popular
	}
	for _, item := range latest(items, maxRowItems) {
		r.Items = append(r.Items, item)
		f.shelf = recent(f.shelf, item, maxShelf)
	}
	if len(r.Items) > 0 {
		f.rows = latest(append(f.rows, r), maxRows)
	}
	return r
}

// compare counts which items stood in the list before, if there was one, and which were among
// the most popular that the user did not have.
func compare(stood recs.List, before, items, popular []string) (hits, popularHits, rated int) {
	if stood.Source != recs.SourceModel {
		return 0, 0, 0
	}
	list := ids(stood)
	list = list[:min(cutOff, len(list))]
	var rival []string
	for _, item := range popular {
		if len(rival) < cutOff && !slices.Contains(before, item) {
			rival = append(rival, item)
		}
	}
	for _, item := range items {
		if slices.Contains(list, item) {
			hits++
		}
		if slices.Contains(rival, item) {
			popularHits++
		}
	}
	return hits, popularHits, len(items)
}

// freshFor is how long a list's freshness counts: what waited for the first model is not the
// rule.
const freshFor = 10 * time.Second

// freshness is how long the newest event waited for a list.
type freshness struct {
	at   time.Time
	took time.Duration
}

// beat ends a second.
func (f *feed) beat(now time.Time) {
	f.fresh = slices.DeleteFunc(f.fresh, func(of freshness) bool { return now.Sub(of.at) > freshFor })
	f.perSecond, f.lastBeat = f.events-f.lastBeat, f.events
	if f.perSecond > 0 && f.rated > 0 {
		f.rates.add(float64(f.hits) / float64(f.rated))
		f.popRates.add(float64(f.popHits) / float64(f.rated))
	}
}

// figures are the numbers of the page.
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
		Rated: f.rated, Hits: f.hits, PopularHits: f.popHits, Rates: f.rates.copy(), PopRates: f.popRates.copy(),
	}
}

func ids(l recs.List) []string {
	all := make([]string, len(l.Items))
	for i, scored := range l.Items {
		all[i] = scored.Item
	}
	return all
}

// recent puts what has come to the front, once.
func recent(all []string, came string, most int) []string {
	all = slices.DeleteFunc(all, func(s string) bool { return s == came })
	all = slices.Insert(all, 0, came)
	return all[:min(most, len(all))]
}

// latest are the last ones, in memory that does not grow.
func latest[T any](all []T, most int) []T {
	if over := len(all) - most; over > 0 {
		all = slices.Delete(slices.Clone(all), 0, over)
	}
	return all
}
