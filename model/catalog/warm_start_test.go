package catalog

import (
	"slices"
	"testing"
)

func TestRowMappingAndSimilarItems(t *testing.T) {
	before := build(t, shop, Codes)
	grown := append(slices.Clone(shop), Sequence{User: "bob", Items: []string{"boat", "tent", "boat", "stove", "lamp", "axe"}})
	after, err := Build(grown, Options{Text: Codes, Previous: before, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	users, items := after.RowMapping(before)
	if len(users) != after.Users()+1 || len(items) != after.Items()+1 || users[0] != Unknown || items[0] != Unknown {
		t.Fatalf("%d users and %d items, want one entry for each index, and Unknown for Unknown", len(users), len(items))
	}
	for n := 1; n <= after.Items(); n++ {
		if want := before.ItemIndex(after.ItemID(n)); items[n] != want {
			t.Errorf("%s is mapped to %d, want %d", after.ItemID(n), items[n], want)
		}
	}
	if bob := after.UserIndex("bob"); users[bob] != Unknown {
		t.Errorf("bob is new, but is mapped to %d", users[bob])
	}
	if zoe := after.UserIndex("zoe"); users[zoe] != before.UserIndex("zoe") {
		t.Errorf("zoe is mapped to %d, want %d", users[zoe], before.UserIndex("zoe"))
	}

	// Which ones depends on the embeddings, but all are known, and none is the item itself.
	boat := after.ItemIndex("boat")
	for n, similar := range after.SimilarItems(items, 3) {
		for _, other := range similar {
			if other == n {
				t.Errorf("%s is similar to itself", after.ItemID(n))
			}
			if items[other] == Unknown || other == Unknown {
				t.Errorf("%s is among the similar items, but new", after.ItemID(other))
			}
		}
	}
	if len(after.SimilarItems(items, 3)[boat]) == 0 && after.Embeddings()[boat-1] != nil && sharesFirstNumber(after, items, boat) {
		t.Error("the boat shares its first code number with a known item, but has no similar items")
	}
}

func sharesFirstNumber(c *Catalog, previous []int, item int) bool {
	for n := 1; n <= c.Items(); n++ {
		if previous[n] != Unknown && c.embeddings[n-1] != nil && c.codes[n-1][0] == c.codes[item-1][0] {
			return true
		}
	}
	return false
}
