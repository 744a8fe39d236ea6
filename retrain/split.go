package retrain

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/itemstats"
)

// heldBack are the users whose last item but one the training does not see.
type heldBack struct {
	users map[int]bool // by place in the snapshot
	bound float64      // of their lots: whoever has a smaller one and enough items is among them
}

// holdBack sets users aside for the validation, those with the smallest lots below a bound.
func (r *run) holdBack(numbers *catalog.Catalog, bound float64) heldBack {
	type drawn struct {
		user int
		lot  float64
	}
	var eligible []drawn
	for i, s := range r.sequences {
		// A shorter history would have no item left to learn the next one from.
		if lot := lot(s.User); lot < bound && len(s.Items) >= 4 {
			eligible = append(eligible, drawn{i, lot})
		}
	}
	limit := min(r.config.ValidationUsers, max(len(r.sequences)/10, int(numbers.Interactions()/100)))
	if limit < len(eligible) {
		slices.SortFunc(eligible, func(a, b drawn) int { return cmp.Or(cmp.Compare(a.lot, b.lot), cmp.Compare(a.user, b.user)) })
		bound, eligible = eligible[limit].lot, eligible[:limit]
	}
	h := heldBack{users: make(map[int]bool, len(eligible)), bound: bound}
	for _, d := range eligible {
		h.users[d.user] = true
	}
	return h
}

// parts is what a training may see of the snapshot, and what it is validated on.
type parts struct {
	histories []examples.History
	questions []question
}

// split leaves to the training what comes before the last two items of a user held back,
// and before the last one of the others.
func (r *run) split(numbers *catalog.Catalog) (p parts) {
	for i, s := range r.sequences {
		items := s.Items
		if r.heldBack.users[i] {
			p.questions = append(p.questions, ask(s, 2))
			items = items[:len(items)-1]
		}
		p.histories = append(p.histories, examples.History{User: numbers.UserIndex(s.User), Items: numbers.ItemIndices(items)})
	}
	return p
}

// lot is a number in [0, 1) that each user always has, whatever the seed. A training that
// goes on from another one is validated on users with lots below the bound of that one: it
// has held back their last two items, too, and so have all before it. (A history that was
// too short then has at most two items that were seen, and none of them is asked for.)
func lot(user string) float64 {
	hash := sha256.Sum256([]byte("validation " + user))
	const bits = 53 // of a float64's fraction
	return float64(binary.BigEndian.Uint64(hash[:])>>(64-bits)) / (1 << bits)
}

// rules are those of what the training may see, of the kinds that have a weight.
func (p parts) rules(items int, weights [itemstats.RuleKinds]float64) (learned [itemstats.RuleKinds]*itemstats.Rules) {
	seen := make([][]int, len(p.histories))
	for i, h := range p.histories {
		seen[i] = model.Leaves(catalog.WithoutHeldOut(h.Items, 1))
	}
	for kind, weight := range weights {
		if weight > 0 {
			learned[kind] = itemstats.LearnRules(itemstats.RuleKind(kind), seen, items)
		}
	}
	return learned
}

func beginnings(histories []examples.History) []examples.History {
	var all []examples.History
	for _, h := range histories {
		all = append(all, examples.Prefixes(h)...)
	}
	return all
}
