package catalog

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var shop = []Sequence{
	{User: "zoe", Items: []string{"tent", "stove", "lamp", "rope", "axe"}},
	{User: "adam", Items: []string{"tent", "stove", "lamp", "map"}},
	{User: "new", Items: []string{"map"}},
}

func TestBuild(t *testing.T) {
	c := build(t, shop, Walk)
	if c.Users() != 3 || c.Items() != 6 || c.Interactions() != 10 {
		t.Fatalf("%d users, %d items, %d interactions; want 3, 6, 10", c.Users(), c.Items(), c.Interactions())
	}
	for n := 1; n <= c.Items(); n++ {
		if got := c.ItemNumber(c.Item(n)); got != n {
			t.Errorf("item %d is %q, which has number %d", n, c.Item(n), got)
		}
	}
	if n := c.UserNumber("adam"); n != 1 {
		t.Errorf("adam has number %d, want 1: users are numbered in the order of their ids", n)
	}
	if c.ItemNumber("boat") != Unknown || c.UserNumber("eve") != Unknown {
		t.Error("ids that are not in the catalog must be unknown")
	}
	// "rope" and "axe" occur in held-out places alone.
	if got := []string{c.Item(5), c.Item(6)}; !slices.Equal(got, []string{"axe", "rope"}) {
		t.Errorf("the last numbers belong to %v, want the items that no training part holds", got)
	}
	if got := c.Numbers([]string{"tent", "boat", "axe"}); !slices.Equal(got, []int{c.ItemNumber("tent"), 5}) {
		t.Errorf("Numbers gives %v, want the unknown item left out", got)
	}
	items, counts := c.Popular(2)
	if len(items) != 2 || counts[0] != 2 || counts[1] != 2 || slices.Contains(items, "axe") {
		t.Errorf("most popular are %v with %v", items, counts)
	}
}

// What a model is asked about in the evaluation must not show in the numbers.
func TestHeldOutItemsDoNotMoveTheNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	sequences := randomHistories(rng, 60, 40)
	before := build(t, sequences, Walk)
	for i := range sequences {
		s := slices.Clone(sequences[i].Items)
		s[len(s)-1], s[len(s)-2] = s[len(s)-2], s[len(s)-1]
		s[len(s)-1] = sequences[(i+7)%len(sequences)].Items[0]
		sequences[i].Items = s
	}
	after := build(t, sequences, Walk)
	trained := make(map[string]bool)
	for _, s := range sequences {
		for _, item := range Training(s.Items, 2) {
			trained[item] = true
		}
	}
	for item := range trained {
		if before.ItemNumber(item) != after.ItemNumber(item) {
			t.Fatalf("item %s went from number %d to %d when held-out items changed", item, before.ItemNumber(item), after.ItemNumber(item))
		}
	}
}

func TestItemsUsedTogetherAreNeighbors(t *testing.T) {
	// Two groups of items that never meet in a history.
	rng := rand.New(rand.NewPCG(2, 2))
	var sequences []Sequence
	for u := range 200 {
		s := Sequence{User: fmt.Sprintf("u%d", u)}
		for range 8 {
			s.Items = append(s.Items, fmt.Sprintf("%c%02d", 'a'+rune(u%2), rng.IntN(20)))
		}
		sequences = append(sequences, s)
	}
	c := build(t, sequences, Walk)
	changes := 0
	for n := 2; n <= c.Items(); n++ {
		if c.Item(n)[0] != c.Item(n - 1)[0] {
			changes++
		}
	}
	if changes != 1 {
		t.Errorf("the numbering goes %d times from one group to the other, want once", changes)
	}
}

func TestBuildDoesNotDependOnTheOrderOfUsers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	sequences := randomHistories(rng, 80, 50)
	first := build(t, sequences, Walk)
	rng.Shuffle(len(sequences), func(i, j int) { sequences[i], sequences[j] = sequences[j], sequences[i] })
	second := build(t, sequences, Walk)
	if !slices.Equal(first.items, second.items) || !slices.Equal(first.users, second.users) {
		t.Error("the same histories in another order gave another catalog")
	}
}

func TestText(t *testing.T) {
	c := build(t, randomHistories(rand.New(rand.NewPCG(4, 4)), 120, 30), Walk)
	if got := c.UserText(7); got != "user_007" {
		t.Errorf("the text of user 7 of 120 is %q, want user_007", got)
	}
	if got := c.UserText(Unknown); got != "user_000" {
		t.Errorf("the text of the unknown user is %q, want user_000", got)
	}
	if got := c.ItemText(3); got != "item_03" {
		t.Errorf("the text of item 3 of %d is %q, want item_03", c.Items(), got)
	}
}

func TestSaveAndLoad(t *testing.T) {
	c := build(t, shop, Walk)
	loaded, path := throughFile(t, c)
	if !slices.Equal(loaded.items, c.items) || !slices.Equal(loaded.counts, c.counts) || !slices.Equal(loaded.users, c.users) {
		t.Error("the catalog changed on its way through the file")
	}
	if _, err := Load(path + ".none"); err == nil || !strings.Contains(err.Error(), "catalog.json.none") {
		t.Errorf("a missing file: error %v, want one that names it", err)
	}
}

func randomHistories(rng *rand.Rand, users, items int) []Sequence {
	sequences := make([]Sequence, users)
	for u := range sequences {
		sequences[u].User = fmt.Sprintf("u%d", u)
		for range 5 + rng.IntN(6) {
			sequences[u].Items = append(sequences[u].Items, fmt.Sprintf("i%d", rng.IntN(items)))
		}
	}
	return sequences
}

func TestItemsKeepTheirCodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	sequences := randomHistories(rng, 100, 40)
	before := build(t, sequences, Codes)
	for i := range 20 {
		sequences[i].Items = append([]string{"a new item"}, sequences[i].Items...)
	}
	after, err := Build(sequences, Settings{Text: Codes, Previous: before, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]bool)
	for n := 1; n <= after.Items(); n++ {
		texts[after.ItemText(n)] = true
		if old := before.ItemNumber(after.Item(n)); old != Unknown && before.ItemText(old) != after.ItemText(n) {
			t.Errorf("item %s went from code %s to %s when another item came", after.Item(n), before.ItemText(old), after.ItemText(n))
		}
	}
	if after.ItemNumber("a new item") == Unknown || len(texts) != after.Items() {
		t.Errorf("%d codes for %d items, the new one is number %d: each needs a code of its own", len(texts), after.Items(), after.ItemNumber("a new item"))
	}
}

func TestCodesTellNothingOfHeldOutItems(t *testing.T) {
	sequences := randomHistories(rand.New(rand.NewPCG(6, 6)), 60, 40)
	before := build(t, sequences, Codes)
	for i := range sequences {
		s := slices.Clone(sequences[i].Items)
		s[len(s)-1], s[len(s)-2] = s[len(s)-2], s[len(s)-1]
		sequences[i].Items = s
	}
	if after := build(t, sequences, Codes); !slices.EqualFunc(before.codes, after.codes, slices.Equal) {
		t.Error("codes changed with held-out items alone: the evaluation would be told its answers")
	}
}

func TestCodesAreReadBackAndChecked(t *testing.T) {
	c := build(t, shop, Codes)
	loaded, path := throughFile(t, c)
	if !slices.EqualFunc(loaded.codes, c.codes, slices.Equal) || loaded.UserText(1) != "user" {
		t.Error("the codes changed on their way through the file")
	}
	c.codes[1] = c.codes[0]
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("two items with one code: error %v, want one that names %s", err, path)
	}
}

func build(t *testing.T, sequences []Sequence, text Text) *Catalog {
	t.Helper()
	c, err := Build(sequences, Settings{Text: text, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// throughFile saves a catalog and reads it back.
func throughFile(t *testing.T, c *Catalog) (loaded *Catalog, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "catalog.json")
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return loaded, path
}

func TestStrangersAreNotInTheCatalog(t *testing.T) {
	for _, text := range []Text{Codes, Walk, Literal, Padded} {
		c, err := Build(shop, Settings{Text: text, Strangers: true, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if c.Users() != 0 || c.UserNumber("adam") != Unknown {
			t.Errorf("%s: %d users, adam has number %d; want none", text, c.Users(), c.UserNumber("adam"))
		}
		if c.Items() != 6 || c.UserText(Unknown) == "" {
			t.Errorf("%s: %d items, a user reads %q; want 6 items and some word", text, c.Items(), c.UserText(Unknown))
		}
	}
}
