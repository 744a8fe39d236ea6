package sessions

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/userstate"
)

func TestOutcomesAddUp(t *testing.T) {
	rdb := newClient(t)
	checkOutcomes(t, rdb, embeddedtest.Real())
}

// checkOutcomes compares the users of several days only on a server: miniredis adds them up.
func checkOutcomes(t *testing.T, rdb redis.UniversalClient, onServer bool) {
	t.Helper()
	s := open(t, rdb, Options{})
	days := []string{"2026-03-01", "2026-03-02", "2026-03-03"}
	many := make([]uint64, 2*usersAtOnce+1)
	for i := range many {
		many[i] = uint64(i) * 0x9e3779b97f4a7c15
	}
	for _, f := range []Feedback{
		{Version: "v1", Day: days[0], Interactions: 5, Hits: 1, Users: []uint64{1, 2}},
		{Version: "v1", Day: days[0], Interactions: 2, Hits: 2, Users: []uint64{2, 3}},
		{Version: "v1", Day: days[2], Interactions: 1, Users: []uint64{3, 4}},
		{Version: "v2", Day: days[0], Interactions: 7, Users: many},
	} {
		if err := s.AddFeedback(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	got, users, err := s.Outcomes(t.Context(), "v1", days)
	want := []Outcome{
		{Version: "v1", Day: days[0], Interactions: 7, Hits: 3, Users: 3},
		{Version: "v1", Day: days[2], Interactions: 1, Users: 2},
	}
	if err != nil || !reflect.DeepEqual(got, want) || onServer && users != 4 {
		t.Errorf("got %+v of %d users, error %v; want %+v of 4", got, users, err, want)
	}
	got, users, err = s.Outcomes(t.Context(), "v2", days)
	if err != nil || len(got) != 1 || users < int64(len(many))*97/100 || users > int64(len(many))*103/100 {
		t.Errorf("got %+v of %d users, error %v; want about %d", got, users, err, len(many))
	}
	for _, key := range []string{"v1", "v2"} {
		counts, hashes := s.keys.Feedback(key, days[0])
		for _, key := range []string{counts, hashes} {
			if ttl := rdb.TTL(t.Context(), key).Val(); ttl < feedbackTTL-time.Minute || ttl > feedbackTTL {
				t.Errorf("%s lives for %v, want %v", key, ttl, feedbackTTL)
			}
		}
	}
}

func TestLeaseHasOneHolder(t *testing.T) {
	s := newStore(t, Options{})
	acquire := func(lasts time.Duration) *Lease {
		t.Helper()
		l, err := s.Acquire(t.Context(), "work", lasts)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := acquire(time.Minute)
	if first == nil || acquire(time.Minute) != nil {
		t.Fatal("want one holder")
	}
	if held, err := first.Extend(t.Context()); !held || err != nil {
		t.Errorf("extended: %t, error %v", held, err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := acquire(time.Minute)
	if second == nil {
		t.Fatal("a lease that was released is not free")
	}
	if held, err := first.Extend(t.Context()); held || err != nil {
		t.Errorf("a lease of somebody else was extended: %t, error %v", held, err)
	}
	if err := first.Release(t.Context()); err != nil || acquire(time.Minute) != nil {
		t.Errorf("a lease of somebody else was released (error %v)", err)
	}
}

func TestScanActive(t *testing.T) {
	checkScanActive(t, newClient(t))
}

func checkScanActive(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	s := open(t, rdb, Options{})
	const users = scanPage + 100
	want := make(map[string]string)
	for i := range users {
		user := fmt.Sprint("u[", i)
		s.mustAppend(t, user, eventAt(int64(1000+i%2), "e1"))
		if i%2 == 0 {
			continue // too long ago
		}
		want[user] = ""
		if i%3 == 0 {
			want[user] = "v000002"
			s.mustPut(t, userstate.List{RecID: userstate.NewRecID("v000002"), User: user, ModelVersion: "v000002", SequenceVersion: 1})
		}
	}
	s.mustPut(t, userstate.List{RecID: `id "without" version`, User: "u[1", SequenceVersion: 1})
	got := make(map[string]string)
	err := s.ScanActive(t.Context(), time.UnixMilli(1001), func(page []ActiveUser) error {
		for _, a := range page {
			got[a.User] = a.Version
		}
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %d users, error %v; want %d with their versions", len(got), err, len(want))
	}
	stop := errors.New("stop")
	if err := s.ScanActive(t.Context(), time.Time{}, func([]ActiveUser) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got error %v, want that of the callback", err)
	}
}
