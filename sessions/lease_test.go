package sessions

import (
	"testing"
	"time"
)

func TestLeaseHasOneHolder(t *testing.T) {
	s := newStore(t, Options{})
	acquire := func(ttl time.Duration) *Lease {
		t.Helper()
		l, err := s.Acquire(t.Context(), "work", ttl)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := acquire(time.Minute)
	if first == nil || acquire(time.Minute) != nil {
		t.Fatal("want exactly one holder")
	}
	if held, err := first.Extend(t.Context()); !held || err != nil {
		t.Errorf("extended: %t, error %v", held, err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := acquire(time.Minute)
	if second == nil {
		t.Fatal("a released lease cannot be acquired")
	}
	if held, err := first.Extend(t.Context()); held || err != nil {
		t.Errorf("the lease of another holder was extended: %t, error %v", held, err)
	}
	if err := first.Release(t.Context()); err != nil || acquire(time.Minute) != nil {
		t.Errorf("the lease of another holder was released (error %v)", err)
	}
}
