// Package catalog owns the mapping between the ids that a shop uses and the
// dense numbers that the model reads and writes.
package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"genrec/model/itemstats"
)

// Sequence is one user's history under external ids, oldest item first.
type Sequence struct {
	User   string    `json:"user"`
	Items  []string  `json:"items"`
	Newest time.Time `json:"newest,omitzero"` // of the last item, where times are known
}

// Training is the part of the history that a model may learn from before it is
// evaluated: all but the last n items. A history of fewer than three items has no
// held-out part and is used whole.
func Training[T any](items []T, n int) []T {
	if len(items) < 3 {
		return items
	}
	return items[:len(items)-n]
}

// Unknown is the dense number of a user or an item that the model was not
// trained on.
const Unknown = 0

// Catalog numbers users and items from 1. It is immutable once built.
type Catalog struct {
	text   Text
	items  []string
	counts []int64
	users  []string
	codes  []itemstats.Code // of the items, with the text Codes alone
	// vectors are known to a catalog just built with that text.
	vectors [][]float32

	longestItem, longestUser string // of the ids

	itemNumber map[string]int
	userNumber map[string]int
}

// Text says what the model reads and writes of an id.
type Text string

// The ways to write ids.
const (
	// Codes writes an item as its learned code, `a7b201`, and every user as `user`:
	// a user's id tells nothing that the ID embedding doesn't.
	Codes Text = "codes"
	// Walk writes dense numbers, `item_01234`, padded to one width so that all items
	// have equally many digits.
	Walk Text = "walk"
	// Literal writes the ids as they are, `item_1234` (the paper's way).
	Literal Text = "literal"
	// Padded writes the ids behind zeros that bring them to one width: for ids that
	// are numbers, and vocabularies that split them into digits.
	Padded Text = "padded"
)

// Valid says whether t is one of them.
func (t Text) Valid() bool { return slices.Contains([]Text{Codes, Walk, Literal, Padded}, t) }

// Settings say how to build a catalog.
type Settings struct {
	Text Text
	// Strangers leaves the users out: all of them are Unknown.
	Strangers bool
	// Previous is a catalog whose items keep the codes that they have there, or nil.
	Previous *Catalog
	Seed     int64
}

// Build numbers the users in the order of their ids and the items in the order of
// theirs, or, with the text Walk, in that of a walk over the training parts of the
// histories (all but the last two items of each), so that items used together have
// nearby numbers and share their leading digits, which is what a model that writes
// digits can learn from. With the text Codes, items get codes that are learned from
// the same parts. Held-out items take no part in either: nothing can be told from the
// numbers or codes about them. Items that occur in held-out places alone come last.
func Build(sequences []Sequence, settings Settings) (*Catalog, error) {
	sorted := slices.Clone(sequences)
	slices.SortFunc(sorted, func(a, b Sequence) int { return cmp.Compare(a.User, b.User) })

	counts := make(map[string]int64)
	trained := make(map[string]bool)
	var users []string
	for _, s := range sorted {
		if !settings.Strangers {
			users = append(users, s.User)
		}
		for _, item := range s.Items {
			counts[item]++
		}
		for _, item := range Training(s.Items, heldOut) {
			trained[item] = true
		}
	}
	var items, late []string
	for _, item := range slices.Sorted(maps.Keys(counts)) {
		if trained[item] {
			items = append(items, item)
		} else {
			late = append(late, item)
		}
	}
	if settings.Text == Walk {
		items = alongUse(items, sorted)
	}
	items = append(items, late...)
	c := index(settings.Text, items, make([]int64, len(items)), users)
	for i, item := range items {
		c.counts[i] = counts[item]
	}
	if settings.Text != Codes {
		return c, nil
	}
	learned, err := itemstats.LearnCodes(trainingParts(sorted, c.place), len(items), c.kept(settings.Previous), settings.Seed)
	if err != nil {
		return nil, fmt.Errorf("learn the codes of %d items: %w", len(items), err)
	}
	c.codes, c.vectors = learned.Codes, learned.Embeddings
	return c, nil
}

// kept lists the codes that items have in another catalog, nil for those without one.
func (c *Catalog) kept(previous *Catalog) []itemstats.Code {
	if previous == nil || previous.text != Codes {
		return nil
	}
	kept := make([]itemstats.Code, len(c.items))
	for i, item := range c.items {
		if n := previous.ItemNumber(item); n != Unknown {
			kept[i] = previous.codes[n-1]
		}
	}
	return kept
}

// place is where an item of the catalog stands in its list.
func (c *Catalog) place(item string) int { return c.itemNumber[item] - 1 }

// CodeLevels is how many tokens an item's code has, 0 when items have none.
func (c *Catalog) CodeLevels() int {
	if len(c.codes) == 0 {
		return 0
	}
	return len(c.codes[0])
}

// Vectors are the directions that items were found to have when their codes were
// learned, item by item, nil for an item without one (itemstats.ItemCodes). They are not
// saved, and only the text Codes has them.
func (c *Catalog) Vectors() [][]float32 { return c.vectors }

// heldOut is how many items at the end of a history no training stage may see
// before the evaluation: one for validation, one for the test.
const heldOut = 2

// trainingParts are the items that any stage may learn from, as numbers.
func trainingParts(sequences []Sequence, number func(item string) int) [][]int {
	histories := make([][]int, len(sequences))
	for i, s := range sequences {
		for _, item := range Training(s.Items, heldOut) {
			histories[i] = append(histories[i], number(item))
		}
	}
	return histories
}

func alongUse(items []string, sequences []Sequence) []string {
	number := make(map[string]int, len(items))
	for i, item := range items {
		number[item] = i
	}
	histories := trainingParts(sequences, func(item string) int { return number[item] })
	ordered := make([]string, 0, len(items))
	for _, n := range walk(histories, len(items)) {
		ordered = append(ordered, items[n])
	}
	return ordered
}

func index(t Text, items []string, counts []int64, users []string) *Catalog {
	c := &Catalog{
		text: t, items: items, counts: counts, users: users,
		longestItem: longest(items), longestUser: longest(users),
		itemNumber: make(map[string]int, len(items)),
		userNumber: make(map[string]int, len(users)),
	}
	for i, item := range items {
		c.itemNumber[item] = i + 1
	}
	for i, user := range users {
		c.userNumber[user] = i + 1
	}
	return c
}

// Items is the number of items; their dense numbers are 1..Items().
func (c *Catalog) Items() int { return len(c.items) }

// Users is the number of users; their dense numbers are 1..Users().
func (c *Catalog) Users() int { return len(c.users) }

// Interactions is the number of interactions that the catalog was built from.
func (c *Catalog) Interactions() int64 {
	total := int64(0)
	for _, count := range c.counts {
		total += count
	}
	return total
}

// Item is the external id of dense item number n, in 1..Items().
func (c *Catalog) Item(n int) string { return c.items[n-1] }

// ItemNumber is the dense number of an item, Unknown when it is not in the catalog.
func (c *Catalog) ItemNumber(item string) int { return c.itemNumber[item] }

// UserNumber is the dense number of a user, Unknown when it is not in the catalog.
func (c *Catalog) UserNumber(user string) int { return c.userNumber[user] }

// Numbers maps items to their dense numbers and leaves out those that the model
// does not know: it has learned nothing that it could say about them.
func (c *Catalog) Numbers(items []string) []int {
	numbers := make([]int, 0, len(items))
	for _, item := range items {
		if n := c.itemNumber[item]; n != Unknown {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// Popular lists the n most frequent items of the snapshot with their counts,
// most frequent first, ties by dense number.
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

// ItemText is what the model reads and writes of dense item number n.
func (c *Catalog) ItemText(n int) string {
	switch c.text {
	case Codes:
		return c.codes[n-1].String()
	case Walk:
		return "item_" + padded(strconv.Itoa(n), strconv.Itoa(len(c.items)))
	}
	return "item_" + c.literal(c.items[n-1], c.longestItem)
}

// UserText is what the model reads of dense user number n. The unknown user is
// written with zeros alone.
func (c *Catalog) UserText(n int) string {
	switch {
	case c.text == Codes:
		return "user"
	case c.text == Walk:
		return "user_" + padded(strconv.Itoa(n), strconv.Itoa(len(c.users)))
	case n == Unknown:
		return "user_" + c.literal("0", c.longestUser)
	}
	return "user_" + c.literal(c.users[n-1], c.longestUser)
}

// Alike finds two items that have one text: padding makes 07 of 7. Other texts are unique.
func (c *Catalog) Alike() (a, b string, found bool) {
	if c.text != Padded {
		return "", "", false
	}
	first := make(map[string]string, len(c.items)) // by what is left without zeros in front
	for _, item := range c.items {
		bare := strings.TrimLeft(item, "0")
		if other, taken := first[bare]; taken {
			return other, item, true
		}
		first[bare] = item
	}
	return "", "", false
}

// Text is the way that ids are written.
func (c *Catalog) Text() Text { return c.text }

func (c *Catalog) literal(id, longest string) string {
	if c.text == Padded {
		return padded(id, longest)
	}
	return id
}

func padded(id, longest string) string {
	return strings.Repeat("0", max(0, len(longest)-len(id))) + id
}

func longest(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return slices.MaxFunc(ids, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
}

type file struct {
	Text   Text     `json:"text"`
	Items  []string `json:"items"`
	Counts []int64  `json:"counts"`
	Users  []string `json:"users"`
	// Codes are those of the items, with the text Codes.
	Codes []itemstats.Code `json:"codes,omitempty"`
}

// Save writes the catalog as JSON.
func (c *Catalog) Save(path string) error {
	data, err := json.Marshal(file{Text: c.text, Items: c.items, Counts: c.counts, Users: c.users, Codes: c.codes})
	if err != nil {
		return fmt.Errorf("encode catalog: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	return nil
}

// Load reads a catalog that Save wrote.
func Load(path string) (*Catalog, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("decode catalog %s: %w", path, err)
	}
	if len(f.Items) != len(f.Counts) {
		return nil, fmt.Errorf("decode catalog %s: %d items but %d counts", path, len(f.Items), len(f.Counts))
	}
	if !f.Text.Valid() {
		return nil, fmt.Errorf("decode catalog %s: it writes ids in the unknown way %q: retrain with this release", path, f.Text)
	}
	c := index(f.Text, f.Items, f.Counts, f.Users)
	if f.Text == Codes {
		if err := itemstats.ValidateCodes(f.Codes, len(f.Items)); err != nil {
			return nil, fmt.Errorf("decode catalog %s: %w", path, err)
		}
		c.codes = f.Codes
	}
	return c, nil
}
