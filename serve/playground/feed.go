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

	took      []time.Duration // newest last
	events    int             // answered
	lastBeat  int             // events until then
	perSecond int
	rated     int // events of those who had a list
	hits      int
	popHits   int
	rates     curve // hit rate
	popRates  curve // that of the popular items
}

// add takes in a list and returns what to show of it.
func (f *feed) add(w inference.Written) row {
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
	f.took = latest(append(f.took, took), maxFreshness)

	fresh := int(min(max(0, list.SequenceVersion-w.Replaced.SequenceVersion), int64(len(w.Items))))
	before, items := w.Items[:len(w.Items)-fresh], w.Items[len(w.Items)-fresh:]
	f.events += len(items)
	r.Hits = f.rate(w.Replaced, before, items)
	for _, item := range latest(items, maxRowItems) {
		r.Items = append(r.Items, item)
		f.shelf = recent(f.shelf, item, maxShelf)
	}
	if len(r.Items) > 0 {
		f.rows = latest(append(f.rows, r), maxRows)
	}
	return r
}

// rate compares what somebody took with the list that stood before, and with the popular
// items that they did not have.
func (f *feed) rate(stood recs.List, before, items []string) (hits int) {
	if stood.Source != recs.SourceModel {
		return 0
	}
	list := ids(stood)
	list = list[:min(cutOff, len(list))]
	var popular []string
	for _, item := range f.popular {
		if len(popular) < cutOff && !slices.Contains(before, item) {
			popular = append(popular, item)
		}
	}
	for _, item := range items {
		f.rated++
		if slices.Contains(list, item) {
			hits++
		}
		if slices.Contains(popular, item) {
			f.popHits++
		}
	}
	f.hits += hits
	return hits
}

// beat ends a second.
func (f *feed) beat() {
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
	sorted := slices.Sorted(slices.Values(f.took))
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
