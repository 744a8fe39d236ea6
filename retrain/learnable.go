package retrain

import (
	"fmt"
	"slices"

	"genrec/model/catalog"
)

// learnable is ErrNoData, with the reason, unless something can be learned of the sequences and
// somebody be asked for what comes next.
func learnable(sequences []catalog.Sequence, allowSeen bool) error {
	long, answerable, changing := 0, false, false
	for _, s := range sequences {
		known := catalog.WithoutHeldOut(s.Items, 1)
		changing = changing || slices.ContainsFunc(known, func(item string) bool { return item != known[0] })
		if len(s.Items) >= leastItems {
			long++
			answerable = answerable || allowSeen || !slices.Contains(known, s.Items[len(s.Items)-1])
		}
	}
	switch {
	case len(sequences) == 0:
		return fmt.Errorf("%w: there are no interactions: produce events first, and let ingest run", ErrNoData)
	case long == 0:
		return fmt.Errorf("%w: none of %d users has %d events, so that nobody can be evaluated", ErrNoData, len(sequences), leastItems)
	case !changing:
		return fmt.Errorf("%w: before the last event, which is kept for the evaluation, none of %d users has events of two different items", ErrNoData, len(sequences))
	case !answerable:
		return fmt.Errorf("%w: the last item of each of the %d users with %d events is one that the user had before, so that nobody can be evaluated; --allow-seen recommends those, too",
			ErrNoData, long, leastItems)
	}
	return nil
}
