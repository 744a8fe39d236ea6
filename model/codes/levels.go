package codes

import "fmt"

const (
	// fewestLevels leaves even a small catalog a number that items share and one
	// that tells them apart.
	fewestLevels = 2
	// headroom is how many codes there are an item at least, so that a catalog can
	// grow before all codes must change.
	headroom = 2
)

// room is how many codes one prefix has when so many levels follow it. More than
// seven have more than an int can say, and than any catalog needs.
func room(levels int) int {
	codes := 1
	for range min(levels, 7) {
		codes *= Size
	}
	return codes
}

// length is how many numbers a code has: as many as the kept ones, those of the
// keepers, otherwise the fewest that leave headroom.
func length(items int, kept []Code, keepers []int) (int, error) {
	if len(keepers) > 0 {
		levels := len(kept[keepers[0]])
		if items > room(levels) {
			return 0, fmt.Errorf("%d items do not fit into the %d codes of the kept length %d: learn all codes anew, with none kept", items, room(levels), levels)
		}
		return levels, nil
	}
	levels := fewestLevels
	for room(levels) < headroom*items {
		levels++
	}
	return levels, nil
}
