package codes

import (
	"fmt"
	"slices"
)

// Check says what is wrong with the codes of a catalog's items, which come from
// outside: each item must have one, all of one length and no two the same.
func Check(stored []Code, items int) error {
	if len(stored) != items {
		return fmt.Errorf("%d codes for %d items", len(stored), items)
	}
	keepers, err := checked(stored, items)
	if err == nil && len(keepers) < items {
		err = fmt.Errorf("%d of %d items have no code", items-len(keepers), items)
	}
	return err
}

// checked lists the items that keep a code, ascending, once all those codes are as
// Learn gives them: of one length, in range and different.
func checked(kept []Code, items int) (keepers []int, err error) {
	if kept != nil && len(kept) != items {
		return nil, fmt.Errorf("%d kept codes for %d items: want one an item, nil for a new one", len(kept), items)
	}
	levels := fewestLevels
	for item, code := range kept {
		if code == nil {
			continue
		}
		if len(keepers) == 0 {
			levels = max(levels, len(code))
		}
		if len(code) != levels {
			return nil, fmt.Errorf("item %d keeps the code %v of %d numbers, want %d", item, []int(code), len(code), levels)
		}
		if slices.Min(code) < 0 || slices.Max(code) >= Size {
			return nil, fmt.Errorf("item %d keeps the code %v, whose numbers are not all in [0, %d)", item, []int(code), Size)
		}
		keepers = append(keepers, item)
	}

	sorted := slices.Clone(keepers)
	slices.SortStableFunc(sorted, func(a, b int) int { return slices.Compare(kept[a], kept[b]) })
	for i := 1; i < len(sorted); i++ {
		if a, b := sorted[i-1], sorted[i]; slices.Equal(kept[a], kept[b]) {
			return nil, fmt.Errorf("item %d keeps the code %v, which item %d keeps too", b, []int(kept[b]), a)
		}
	}
	return keepers, nil
}
