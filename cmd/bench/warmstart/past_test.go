package warmstart

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/catalog"
)

func TestNewestTenthHasExistingUsersNewUsersAndNewItems(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	all := make([]catalog.Sequence, 2000)
	byUser := make(map[string][]string)
	for u := range all {
		all[u].User = fmt.Sprint("u", u)
		for range 2 + rng.IntN(12) {
			all[u].Items = append(all[u].Items, fmt.Sprint("i", rng.IntN(500)))
		}
		byUser[all[u].User] = all[u].Items
	}
	past := pastOf(all, 1)
	if share := 1 - float64(interactions(past))/float64(interactions(all)); math.Abs(share-newShare) > 1e-3 {
		t.Errorf("%.4f of the interactions are new, want %v", share, newShare)
	}
	whole := 0
	for _, s := range past {
		items := byUser[s.User]
		if len(s.Items) == 0 || !slices.Equal(s.Items, items[:len(s.Items)]) {
			t.Fatalf("%s had %v, want a prefix of %v", s.User, s.Items, items)
		}
		if len(s.Items) == len(items) {
			whole++
		}
	}
	if fresh := len(all) - len(past); fresh == 0 || whole == 0 || whole == len(past) {
		t.Errorf("%d users are new and %d of the %d others have no new interactions: want some of each", fresh, whole, len(past))
	}
	if launched := len(distinct(all)) - len(distinct(past)); launched < 5 {
		t.Errorf("%d items are new, want at least the 5 launched", launched)
	}
}
