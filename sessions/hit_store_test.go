package sessions

import (
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/embedded/embeddedtest"
)

func TestHitsAddUp(t *testing.T) {
	rdb := newClient(t)
	checkDailyHits(t, rdb, embeddedtest.Real())
}

// checkDailyHits compares the number of users over several days only on a real server: miniredis adds up the days.
func checkDailyHits(t *testing.T, rdb redis.UniversalClient, onServer bool) {
	t.Helper()
	s := open(t, rdb, Options{})
	days := []string{"2026-03-01", "2026-03-02", "2026-03-03"}
	many := make([]uint64, 2*usersPerCommand+1)
	for i := range many {
		many[i] = uint64(i) * 0x9e3779b97f4a7c15
	}
	for _, f := range []HitCounts{
		{Version: "v1", Day: days[0], Interactions: 5, Hits: 1, Users: []uint64{1, 2}},
		{Version: "v1", Day: days[0], Interactions: 2, Hits: 2, Users: []uint64{2, 3}},
		{Version: "v1", Day: days[2], Interactions: 1, Users: []uint64{3, 4}},
		{Version: "v2", Day: days[0], Interactions: 7, Users: many},
	} {
		if err := s.AddHits(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	got, users, err := s.DailyHits(t.Context(), "v1", days)
	want := []DailyHits{
		{Version: "v1", Day: days[0], Interactions: 7, Hits: 3, Users: 3},
		{Version: "v1", Day: days[2], Interactions: 1, Users: 2},
	}
	if err != nil || !reflect.DeepEqual(got, want) || onServer && users != 4 {
		t.Errorf("got %+v of %d users, error %v; want %+v of 4", got, users, err, want)
	}
	got, users, err = s.DailyHits(t.Context(), "v2", days)
	if err != nil || len(got) != 1 || users < int64(len(many))*97/100 || users > int64(len(many))*103/100 {
		t.Errorf("got %+v of %d users, error %v; want about %d", got, users, err, len(many))
	}
	for _, key := range []string{"v1", "v2"} {
		counts, hashes := s.keys.Hits(key, days[0])
		for _, key := range []string{counts, hashes} {
			if ttl := rdb.TTL(t.Context(), key).Val(); ttl < hitsTTL-time.Minute || ttl > hitsTTL {
				t.Errorf("the TTL of %s is %v, want %v", key, ttl, hitsTTL)
			}
		}
	}
}
