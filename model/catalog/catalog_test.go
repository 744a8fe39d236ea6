package catalog

import (
	"fmt"
	"math/rand/v2"
	"os"
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
	c := build(t, shop, Numbered)
	if c.Users() != 3 || c.Items() != 6 || c.Interactions() != 10 {
		t.Fatalf("%d users, %d items, %d interactions; want 3, 6, 10", c.Users(), c.Items(), c.Interactions())
	}
	for n := 1; n <= c.Items(); n++ {
		if got := c.ItemIndex(c.ItemID(n)); got != n {
			t.Errorf("item %d is %q, which has index %d", n, c.ItemID(n), got)
		}
	}
	if n := c.UserIndex("adam"); n != 1 {
		t.Errorf("adam has index %d, want 1: users are in the order of their ids", n)
	}
	if c.ItemIndex("boat") != Unknown || c.UserIndex("eve") != Unknown {
		t.Error("ids that are not in the catalog must be unknown")
	}
	// "rope" and "axe" occur as held-out items only.
	if got := []string{c.ItemID(5), c.ItemID(6)}; !slices.Equal(got, []string{"axe", "rope"}) {
		t.Errorf("the last items are %v, want those that are held out only", got)
	}
	if got := c.ItemIndices([]string{"tent", "boat", "axe"}); !slices.Equal(got, []int{c.ItemIndex("tent"), 5}) {
		t.Errorf("ItemIndices returns %v, want the unknown item left out", got)
	}
	items, counts := c.Popular(2)
	if len(items) != 2 || counts[0] != 2 || counts[1] != 2 || slices.Contains(items, "axe") {
		t.Errorf("most popular are %v with %v", items, counts)
	}
}

// Indices must not leak the held-out items of the evaluation.
func TestIndicesDoNotDependOnHeldOutItems(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	sequences := randomHistories(rng, 60, 40)
	before := build(t, sequences, Numbered)
	for i := range sequences {
		s := slices.Clone(sequences[i].Items)
		s[len(s)-1], s[len(s)-2] = s[len(s)-2], s[len(s)-1]
		s[len(s)-1] = sequences[(i+7)%len(sequences)].Items[0]
		sequences[i].Items = s
	}
	after := build(t, sequences, Numbered)
	trained := make(map[string]bool)
	for _, s := range sequences {
		for _, item := range WithoutHeldOut(s.Items, 2) {
			trained[item] = true
		}
	}
	for item := range trained {
		if before.ItemIndex(item) != after.ItemIndex(item) {
			t.Fatalf("item %s changed from index %d to %d with held-out items", item, before.ItemIndex(item), after.ItemIndex(item))
		}
	}
}

func TestItemsUsedTogetherHaveCloseIndices(t *testing.T) {
	// Two groups of items that never co-occur.
	rng := rand.New(rand.NewPCG(2, 2))
	var sequences []Sequence
	for u := range 200 {
		s := Sequence{User: fmt.Sprintf("u%d", u)}
		for range 8 {
			s.Items = append(s.Items, fmt.Sprintf("%c%02d", 'a'+rune(u%2), rng.IntN(20)))
		}
		sequences = append(sequences, s)
	}
	c := build(t, sequences, Numbered)
	changes := 0
	for n := 2; n <= c.Items(); n++ {
		if c.ItemID(n)[0] != c.ItemID(n - 1)[0] {
			changes++
		}
	}
	if changes != 1 {
		t.Errorf("the order changes %d times from one group to the other, want once", changes)
	}
}

func TestBuildIgnoresTheOrderOfUsers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	sequences := randomHistories(rng, 80, 50)
	first := build(t, sequences, Numbered)
	rng.Shuffle(len(sequences), func(i, j int) { sequences[i], sequences[j] = sequences[j], sequences[i] })
	second := build(t, sequences, Numbered)
	if !slices.Equal(first.items, second.items) || !slices.Equal(first.users, second.users) {
		t.Error("the catalog depends on the order of the histories")
	}
}

func TestNumberedText(t *testing.T) {
	c := build(t, randomHistories(rand.New(rand.NewPCG(4, 4)), 120, 30), Numbered)
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
	c := build(t, shop, Numbered)
	loaded, path := saveAndLoad(t, c)
	if !slices.Equal(loaded.items, c.items) || !slices.Equal(loaded.counts, c.counts) || !slices.Equal(loaded.users, c.users) {
		t.Error("the loaded catalog differs")
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

func TestItemsKeepTheirPreviousCodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	sequences := randomHistories(rng, 100, 40)
	before := build(t, sequences, Codes)
	for i := range 20 {
		sequences[i].Items = append([]string{"a new item"}, sequences[i].Items...)
	}
	after, err := Build(sequences, Options{Text: Codes, Previous: before, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]bool)
	for n := 1; n <= after.Items(); n++ {
		texts[after.ItemText(n)] = true
		if old := before.ItemIndex(after.ItemID(n)); old != Unknown && before.ItemText(old) != after.ItemText(n) {
			t.Errorf("item %s changed from code %s to %s with a new item", after.ItemID(n), before.ItemText(old), after.ItemText(n))
		}
	}
	if after.ItemIndex("a new item") == Unknown || len(texts) != after.Items() {
		t.Errorf("%d codes for %d items, the new one has index %d: codes must be unique", len(texts), after.Items(), after.ItemIndex("a new item"))
	}
}

func TestCodesDoNotDependOnHeldOutItems(t *testing.T) {
	sequences := randomHistories(rand.New(rand.NewPCG(6, 6)), 60, 40)
	before := build(t, sequences, Codes)
	for i := range sequences {
		s := slices.Clone(sequences[i].Items)
		s[len(s)-1], s[len(s)-2] = s[len(s)-2], s[len(s)-1]
		sequences[i].Items = s
	}
	if after := build(t, sequences, Codes); !slices.EqualFunc(before.codes, after.codes, slices.Equal) {
		t.Error("codes depend on held-out items: the evaluation would be leaked")
	}
}

func TestSaveAndLoadCodes(t *testing.T) {
	c := build(t, shop, Codes)
	loaded, path := saveAndLoad(t, c)
	if !slices.EqualFunc(loaded.codes, c.codes, slices.Equal) || loaded.UserText(1) != "user" {
		t.Error("the loaded codes differ")
	}
	c.codes[1] = c.codes[0]
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("two items with one code: error %v, want one that names %s", err, path)
	}
}

func build(t *testing.T, sequences []Sequence, format TextFormat) *Catalog {
	t.Helper()
	c, err := Build(sequences, Options{Text: format, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// saveAndLoad saves a catalog and loads it.
func saveAndLoad(t *testing.T, c *Catalog) (loaded *Catalog, path string) {
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

func TestBuildWithoutUsers(t *testing.T) {
	for _, format := range []TextFormat{Codes, Numbered, Literal, Padded} {
		c, err := Build(shop, Options{Text: format, WithoutUsers: true, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if c.Users() != 0 || c.UserIndex("adam") != Unknown {
			t.Errorf("%s: %d users, adam has index %d; want none", format, c.Users(), c.UserIndex("adam"))
		}
		if c.Items() != 6 || c.UserText(Unknown) == "" {
			t.Errorf("%s: %d items, the text of a user is %q; want 6 items and some text", format, c.Items(), c.UserText(Unknown))
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"text": "padded", "items": ["a", "b"], "counts": [1, 2], "users": ["u"]}`))
	f.Add([]byte(`{"text": "codes", "items": ["a", "b"], "counts": [1, 2], "users": [], "codes": [[0, 0], [0, 1]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "catalog.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			return
		}
		if err := c.Save(path); err != nil {
			t.Fatalf("save the loaded catalog: %v", err)
		}
		if _, err := Load(path); err != nil {
			t.Fatalf("load the saved catalog: %v", err)
		}
	})
}
