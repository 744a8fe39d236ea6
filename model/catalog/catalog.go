// Package catalog maps the ids of a shop's users and items to the indices and texts that the model
// works with.
//
// The index of a user or item is its row in an embedding table: from 1, with 0 for everything that the
// model was not trained on. The text is what the tokenizer reads, in one of several formats
// (TextFormat). A catalog is built once for a training, saved as catalog.json in a version, and
// immutable.
//
// Neither indices nor item codes depend on items that are held out for the evaluation (WithoutHeldOut),
// except that items which occur nowhere else have the last indices.
package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"genrec/model/itemstats"
)

// Sequence is the history of a user, under the ids of the shop.
type Sequence struct {
	// User is the user's id.
	User string `json:"user"`
	// Items are the ids of the items, oldest first.
	Items []string `json:"items"`
	// Newest is the time of the last item, if it is known.
	Newest time.Time `json:"newest,omitzero"`
}

// heldOut is the number of items at the end of a history that no stage of the training may use: one
// for the validation and one for the test (leave-one-out).
const heldOut = 2

// WithoutHeldOut returns the items of a history without the last n, which are held out for the
// evaluation. Histories of fewer than three items are not evaluated, and returned whole.
func WithoutHeldOut[T any](items []T, n int) []T {
	if len(items) < 3 {
		return items
	}
	return items[:len(items)-n]
}

// Unknown is the index of users and items that the model was not trained on.
const Unknown = 0

// Catalog has the users and items of a training, with indices from 1.
type Catalog struct {
	format     TextFormat
	items      []string // ids, by index - 1; likewise the other slices
	counts     []int64
	users      []string
	codes      []itemstats.Code // with the format Codes
	embeddings [][]float32      // likewise, and not in a loaded catalog

	longestItem, longestUser string // ids

	itemIndex map[string]int
	userIndex map[string]int
}

// Options of Build.
type Options struct {
	// Text is the format of the texts.
	Text TextFormat
	// WithoutUsers leaves out all users: their index is Unknown.
	WithoutUsers bool
	// Previous is the catalog whose item codes are kept, or nil.
	Previous *Catalog
	// Seed makes learning the item codes reproducible.
	Seed int64
}

// Build returns the catalog of the sequences' users and items. Users are in the order of their ids, and
// so are items, except for the format Numbered: there, items that are used together have similar
// indices (itemstats.OrderByCooccurrence), so that their numbers share the leading digits. With the
// format Codes, item codes are learned.
func Build(sequences []Sequence, o Options) (*Catalog, error) {
	sorted := slices.Clone(sequences)
	slices.SortFunc(sorted, func(a, b Sequence) int { return cmp.Compare(a.User, b.User) })

	counts := make(map[string]int64)
	trained := make(map[string]bool)
	var users []string
	for _, s := range sorted {
		if !o.WithoutUsers {
			users = append(users, s.User)
		}
		for _, item := range s.Items {
			counts[item]++
		}
		for _, item := range WithoutHeldOut(s.Items, heldOut) {
			trained[item] = true
		}
	}
	var items, heldOutOnly []string
	for _, item := range slices.Sorted(maps.Keys(counts)) {
		if trained[item] {
			items = append(items, item)
		} else {
			heldOutOnly = append(heldOutOnly, item)
		}
	}
	if o.Text == Numbered {
		items = orderByCooccurrence(items, sorted)
	}
	items = append(items, heldOutOnly...)
	c := newCatalog(o.Text, items, make([]int64, len(items)), users)
	for i, item := range items {
		c.counts[i] = counts[item]
	}
	if o.Text != Codes {
		return c, nil
	}
	histories := trainingHistories(sorted, func(item string) int { return c.itemIndex[item] - 1 })
	learned, err := itemstats.LearnCodes(histories, len(items), c.codesIn(o.Previous), o.Seed)
	if err != nil {
		return nil, fmt.Errorf("learn the codes of %d items: %w", len(items), err)
	}
	c.codes, c.embeddings = learned.Codes, learned.Embeddings
	return c, nil
}

// codesIn lists the codes that the items have in another catalog, nil for those without one.
func (c *Catalog) codesIn(previous *Catalog) []itemstats.Code {
	if previous == nil || previous.format != Codes {
		return nil
	}
	codes := make([]itemstats.Code, len(c.items))
	for i, item := range c.items {
		if index := previous.ItemIndex(item); index != Unknown {
			codes[i] = previous.codes[index-1]
		}
	}
	return codes
}

// trainingHistories are the histories without held-out items, with a number from 0 for each item.
func trainingHistories(sequences []Sequence, number func(item string) int) [][]int {
	histories := make([][]int, len(sequences))
	for i, s := range sequences {
		for _, item := range WithoutHeldOut(s.Items, heldOut) {
			histories[i] = append(histories[i], number(item))
		}
	}
	return histories
}

func orderByCooccurrence(items []string, sequences []Sequence) []string {
	number := make(map[string]int, len(items))
	for i, item := range items {
		number[item] = i
	}
	histories := trainingHistories(sequences, func(item string) int { return number[item] })
	ordered := make([]string, 0, len(items))
	for _, n := range itemstats.OrderByCooccurrence(histories, len(items)) {
		ordered = append(ordered, items[n])
	}
	return ordered
}

func newCatalog(format TextFormat, items []string, counts []int64, users []string) *Catalog {
	c := &Catalog{
		format: format, items: items, counts: counts, users: users,
		longestItem: longest(items), longestUser: longest(users),
		itemIndex: make(map[string]int, len(items)),
		userIndex: make(map[string]int, len(users)),
	}
	for i, item := range items {
		c.itemIndex[item] = i + 1
	}
	for i, user := range users {
		c.userIndex[user] = i + 1
	}
	return c
}

// Items is the number of items; their indices are 1..Items().
func (c *Catalog) Items() int { return len(c.items) }

// Users is the number of users; their indices are 1..Users().
func (c *Catalog) Users() int { return len(c.users) }

// Interactions is the number of interactions from which the catalog was built.
func (c *Catalog) Interactions() int64 {
	total := int64(0)
	for _, count := range c.counts {
		total += count
	}
	return total
}

// ItemID is the shop's id of the item with an index in 1..Items().
func (c *Catalog) ItemID(index int) string { return c.items[index-1] }

// ItemIndex is the index of an item, or Unknown.
func (c *Catalog) ItemIndex(item string) int { return c.itemIndex[item] }

// UserIndex is the index of a user, or Unknown.
func (c *Catalog) UserIndex(user string) int { return c.userIndex[user] }

// ItemIndices returns the indices of items, without those that are unknown: the model has learned
// nothing about them.
func (c *Catalog) ItemIndices(items []string) []int {
	indices := make([]int, 0, len(items))
	for _, item := range items {
		if index := c.itemIndex[item]; index != Unknown {
			indices = append(indices, index)
		}
	}
	return indices
}

// Popular returns the n items with the most interactions and their counts, most frequent first, ties
// by index.
func (c *Catalog) Popular(n int) (items []string, counts []int64) {
	order := make([]int, len(c.items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.counts[b], c.counts[a]) })
	for _, i := range order[:min(n, len(order))] {
		items = append(items, c.items[i])
		counts = append(counts, c.counts[i])
	}
	return items, counts
}

// catalogFile is the format of catalog.json. Codes are those of the items, with the text format Codes.
type catalogFile struct {
	Text   TextFormat       `json:"text"`
	Items  []string         `json:"items"`
	Counts []int64          `json:"counts"`
	Users  []string         `json:"users"`
	Codes  []itemstats.Code `json:"codes,omitempty"`
}

// Save writes the catalog as JSON.
func (c *Catalog) Save(path string) error {
	data, err := json.Marshal(catalogFile{Text: c.format, Items: c.items, Counts: c.counts, Users: c.users, Codes: c.codes})
	if err != nil {
		return fmt.Errorf("encode catalog: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	return nil
}

// Load reads and validates a catalog that Save wrote.
func Load(path string) (*Catalog, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	var f catalogFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("decode catalog %s: %w", path, err)
	}
	if len(f.Items) != len(f.Counts) {
		return nil, fmt.Errorf("decode catalog %s: %d items but %d counts", path, len(f.Items), len(f.Counts))
	}
	if !f.Text.Valid() {
		return nil, fmt.Errorf("decode catalog %s: unknown text format %q: retrain with this release", path, f.Text)
	}
	c := newCatalog(f.Text, f.Items, f.Counts, f.Users)
	if f.Text == Codes {
		if err := itemstats.ValidateCodes(f.Codes, len(f.Items)); err != nil {
			return nil, fmt.Errorf("decode catalog %s: %w", path, err)
		}
		c.codes = f.Codes
	}
	return c, nil
}
