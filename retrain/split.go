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

// heldOut has the users of the validation, whose last item but one is not trained on.
type heldOut struct {
	users map[int]bool // by index in the snapshot
	bound float64      // all users with a smaller hash and enough items are included
}

// minHeldOutItems leaves an item to train on when two are held out and one is predicted.
const minHeldOutItems = 4

// holdOut selects users for the validation, those with the smallest hashes below bound: a tenth of all
// users, or one per hundred interactions if that is more, and at most maxUsers.
func holdOut(sequences []catalog.Sequence, maxUsers int, interactions int64, bound float64) heldOut {
	type candidate struct {
		user int
		hash float64
	}
	var eligible []candidate
	for i, s := range sequences {
		if hash := userHash(s.User); hash < bound && len(s.Items) >= minHeldOutItems {
			eligible = append(eligible, candidate{i, hash})
		}
	}
	limit := min(maxUsers, max(len(sequences)/10, int(interactions/100)))
	if limit < len(eligible) {
		slices.SortFunc(eligible, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.user, b.user)) })
		bound, eligible = eligible[limit].hash, eligible[:limit]
	}
	h := heldOut{users: make(map[int]bool, len(eligible)), bound: bound}
	for _, c := range eligible {
		h.users[c.user] = true
	}
	return h
}

// userHash is a number in [0, 1) that depends on the user id only. A warm start is validated on users
// below the bound of the version it starts from, whose last two items no earlier training has seen.
// (A user whose history was too short then has at most two items that were seen, and none of them is
// held out.)
func userHash(user string) float64 {
	hash := sha256.Sum256([]byte("validation " + user))
	const bits = 53 // of a float64's fraction
	return float64(binary.BigEndian.Uint64(hash[:])>>(64-bits)) / (1 << bits)
}

// trainingData is the part of the snapshot that a training uses.
type trainingData struct {
	histories  []examples.History
	validation []evalCase
}

// split keeps the last item of every user for the evaluation, and the last but one of the users held out
// for the validation.
func split(sequences []catalog.Sequence, items *catalog.Catalog, held heldOut) (d trainingData) {
	for i, s := range sequences {
		history := s.Items
		if held.users[i] {
			d.validation = append(d.validation, newEvalCase(s, 2))
			history = history[:len(history)-1]
		}
		d.histories = append(d.histories, examples.History{User: items.UserIndex(s.User), Items: items.ItemIndices(history)})
	}
	return d
}

// learnRules learns the kinds of rules with a positive weight.
func (d trainingData) learnRules(items int, weights [itemstats.RuleKinds]float64) (learned [itemstats.RuleKinds]*itemstats.Rules) {
	seen := make([][]int, len(d.histories))
	for i, h := range d.histories {
		seen[i] = model.Leaves(catalog.WithoutHeldOut(h.Items, 1))
	}
	for kind, weight := range weights {
		if weight > 0 {
			learned[kind] = itemstats.LearnRules(itemstats.RuleKind(kind), seen, items)
		}
	}
	return learned
}

// prefixesOf returns every prefix of every history.
func prefixesOf(histories []examples.History) []examples.History {
	var all []examples.History
	for _, h := range histories {
		all = append(all, examples.Prefixes(h)...)
	}
	return all
}
