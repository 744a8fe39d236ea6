package codes

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"genrec/pkg/parallel"
)

// quantize gives every row of (items, dimensions) a code, no two the same: at each
// level the number of a center near what the levels before left of the row. It
// overwrites the rows with what the last level leaves.
func quantize(rows *mat.Dense, levels int, rng *rand.Rand) []Code {
	codes := make([]Code, rows.RawMatrix().Rows)
	group := make([]int, len(codes))
	for r := range codes {
		codes[r] = make(Code, levels)
		group[r] = r
	}
	if len(codes) == 0 {
		return codes
	}
	groups := [][]int{group} // rows of one prefix
	for level := range levels {
		if level > 0 {
			groups = split(groups, codes, level-1)
		}
		d := divider{rows: rows, centers: cluster(rows, rng), room: room(levels - level - 1)}
		d.number, d.distance = nearest(rows, d.centers)
		parallel.For(len(groups), func(i int) { d.divide(groups[i]) })
		for r, number := range d.number {
			codes[r][level] = number
			if k, _ := d.centers.Dims(); number < k {
				floats.Sub(rows.RawRowView(r), d.centers.RawRowView(number))
			}
		}
	}
	return codes
}

// split parts the groups by the number of a level.
func split(groups [][]int, codes []Code, level int) [][]int {
	var parts [][]int
	for _, group := range groups {
		byNumber := make([][]int, Size)
		for _, r := range group {
			byNumber[codes[r][level]] = append(byNumber[codes[r][level]], r)
		}
		for _, part := range byNumber {
			if len(part) > 0 {
				parts = append(parts, part)
			}
		}
	}
	return parts
}

// divider gives the rows numbers of one level.
type divider struct {
	rows, centers *mat.Dense
	number        []int     // of each row, first that of its nearest center
	distance      []float64 // squared, to that center
	room          int       // for rows of one group with one number
}

// divide moves rows of a group that find their center full to the nearest one with
// room, and when none has, to a number without center. Rows close to their center
// choose first.
func (d *divider) divide(group []int) {
	slices.SortFunc(group, func(a, b int) int {
		return cmp.Or(cmp.Compare(d.distance[a], d.distance[b]), cmp.Compare(a, b))
	})
	taken := make([]int, Size)
	for _, r := range group {
		if taken[d.number[r]] == d.room {
			d.number[r] = d.nearestLeft(r, taken)
		}
		taken[d.number[r]]++
	}
}

// nearestLeft is the number that a row gets when that of its nearest center is full.
func (d *divider) nearestLeft(row int, taken []int) int {
	k, _ := d.centers.Dims()
	found, least := -1, math.Inf(1)
	for number := range k {
		if taken[number] == d.room {
			continue
		}
		if distance := squared(d.rows.RawRowView(row), d.centers.RawRowView(number)); distance < least {
			found, least = number, distance
		}
	}
	if found < 0 {
		found = k + slices.IndexFunc(taken[k:], func(n int) bool { return n < d.room })
	}
	return found
}
