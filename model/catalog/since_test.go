package catalog

import (
	"slices"
	"testing"
)

func TestSinceFindsWhatWasThereBefore(t *testing.T) {
	before := build(t, shop, Codes)
	grown := append(slices.Clone(shop), Sequence{User: "bob", Items: []string{"boat", "tent", "boat", "stove", "lamp", "axe"}})
	after, err := Build(grown, Settings{Text: Codes, Previous: before, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	users, items := after.Since(before)
	if len(users) != after.Users()+1 || len(items) != after.Items()+1 || users[0] != Unknown || items[0] != Unknown {
		t.Fatalf("%d users and %d items, want one entry for each number and 0 for number 0", len(users), len(items))
	}
	for n := 1; n <= after.Items(); n++ {
		if want := before.ItemNumber(after.Item(n)); items[n] != want {
			t.Errorf("%s had the number %d, want %d", after.Item(n), items[n], want)
		}
	}
	if bob := after.UserNumber("bob"); users[bob] != Unknown {
		t.Errorf("bob is new, but is said to have had the number %d", users[bob])
	}
	if zoe := after.UserNumber("zoe"); users[zoe] != before.UserNumber("zoe") {
		t.Errorf("zoe had the number %d, want %d", users[zoe], before.UserNumber("zoe"))
	}

	// Vectors decide which; that they are other and known items is certain.
	boat := after.ItemNumber("boat")
	for n, neighbors := range after.Neighbors(items, 3) {
		for _, other := range neighbors {
			if other == n {
				t.Errorf("%s is its own neighbor", after.Item(n))
			}
			if items[other] == Unknown || other == Unknown {
				t.Errorf("%s is a neighbor, but as new as the boat", after.Item(other))
			}
		}
	}
	if len(after.Neighbors(items, 3)[boat]) == 0 && after.Vectors()[boat-1] != nil && sharesNumber(after, items, boat) {
		t.Error("the boat shares its leading number with a known item, but has no neighbors")
	}
}

func sharesNumber(c *Catalog, since []int, item int) bool {
	for n := 1; n <= c.Items(); n++ {
		if since[n] != Unknown && c.vectors[n-1] != nil && c.codes[n-1][0] == c.codes[item-1][0] {
			return true
		}
	}
	return false
}
