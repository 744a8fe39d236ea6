package inference

import (
	"context"
	"fmt"
	"time"

	"genrec/pkg/backoff"
	"genrec/sessions"
)

// write stores the results, and reports those that were not refused as stale.
func (r *run) write(ctx context.Context, tasks []task) error {
	if len(tasks) == 0 {
		return nil
	}
	recs := make([]sessions.Recommendations, len(tasks))
	for i, t := range tasks {
		recs[i] = t.result
	}
	var puts []sessions.Put
	what := fmt.Sprintf("write the recommendations of %d users", len(recs))
	err := backoff.Retry(ctx, r.cfg.Logger, what, func() (err error) {
		puts, err = r.sessions.PutRecommendations(ctx, recs)
		return err
	})
	if err != nil {
		return err
	}

	now := time.Now().UTC()
	var n int64
	for i, t := range tasks {
		if puts[i].Written {
			n++
			if puts[i].Replaced == t.replaces.RecID { // or another worker has counted for it
				r.feedback.add(now, t.result.User, t.answers)
				r.metrics.came(t.answers, r.served)
			}
			for _, ms := range t.refresh.ProducedAt {
				r.metrics.freshness.Observe(now.Sub(time.UnixMilli(ms)).Seconds())
			}
			r.cfg.OnWritten(Written{
				Recommendations: t.result, Replaced: t.replaces, Items: t.request.Items,
				ProducedAt: times(t.refresh.ProducedAt), WrittenAt: now,
			})
		}
	}
	r.counters.update(func(s *Stats) {
		s.Written += n
		s.Stale += int64(len(tasks)) - n
	})
	return nil
}

func times(ms []int64) []time.Time {
	times := make([]time.Time, len(ms))
	for i := range ms {
		times[i] = time.UnixMilli(ms[i]).UTC()
	}
	return times
}
