package registry

import (
	"context"
	"errors"
	"reflect"
	"testing"
)

// failingWait is a storage whose awaitRemovals fails after it has called meanwhile once.
type failingWait struct {
	storage
	meanwhile func()
}

var errRemoved = errors.New("being removed")

func (u *failingWait) awaitRemovals(context.Context, string) error {
	meanwhile := u.meanwhile
	u.meanwhile = func() {}
	meanwhile()
	return errRemoved
}

// A failed promotion undoes itself and leaves concurrent changes alone.
func TestUndoRevertsOwnPromotionOnly(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(t *testing.T, others *Registry, old, failing, next string)
		serves    string // afterwards: old, failing or next
		before    string // what a rollback returns to; "": nothing
	}{
		"nothing":                {func(*testing.T, *Registry, string, string, string) {}, "old", ""},
		"another promotion":      {func(t *testing.T, r *Registry, _, _, next string) { promote(t, r, next) }, "next", "old"},
		"two promotions":         {func(t *testing.T, r *Registry, _, _, next string) { promote(t, r, next); promote(t, r, next) }, "next", "next"},
		"the same promotion":     {func(t *testing.T, r *Registry, _, failing, _ string) { promote(t, r, failing) }, "failing", "old"},
		"a rollback":             {func(t *testing.T, r *Registry, _, _, _ string) { rollBack(t, r) }, "old", ""},
		"promotion and rollback": {func(t *testing.T, r *Registry, _, _, next string) { promote(t, r, next); rollBack(t, r) }, "failing", "old"},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t)
			versions := map[string]string{"old": publish(t, r, "old"), "failing": publish(t, r, "failing"), "next": publish(t, r, "next")}
			promote(t, r, versions["old"])
			others := *r
			r.storage = &failingWait{r.storage, func() {
				test.meanwhile(t, &others, versions["old"], versions["failing"], versions["next"])
			}}
			if err := r.PromoteShares(t.Context(), allUsers(versions["failing"])); !errors.Is(err, errRemoved) {
				t.Errorf("error %v, want errRemoved", err)
			}
			if got, err := others.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, allUsers(versions[test.serves])) {
				t.Errorf("%v serves (%v), want %s", got, err, versions[test.serves])
			}
			switch got, err := others.Rollback(t.Context()); {
			case test.before == "":
				if !errors.Is(err, ErrNoPrevious) {
					t.Errorf("rolled back to %v (%v), want ErrNoPrevious", got, err)
				}
			case err != nil || !reflect.DeepEqual(got, allUsers(versions[test.before])):
				t.Errorf("rolled back to %v (%v), want %s", got, err, versions[test.before])
			}
		})
	}
}

// Truncation at maxChanges must not make undo revert another promotion.
func TestUndoAmongMostChanges(t *testing.T) {
	r := open(t)
	old, failing, next := publish(t, r, "old"), publish(t, r, "failing"), publish(t, r, "next")
	for range maxChanges + 1 {
		promote(t, r, old)
	}
	others := *r
	for _, meanwhile := range []string{"", next} {
		r.storage = &failingWait{others.storage, func() {
			if meanwhile != "" {
				promote(t, &others, meanwhile)
			}
		}}
		if err := r.PromoteShares(t.Context(), allUsers(failing)); !errors.Is(err, errRemoved) {
			t.Fatalf("error %v, want errRemoved", err)
		}
		want := old
		if meanwhile != "" {
			want = meanwhile
		}
		if got, err := others.Current(t.Context()); err != nil || got != want {
			t.Errorf("%q serves (%v), want %s", got, err, want)
		}
	}
}

func promote(t *testing.T, r *Registry, version string) {
	t.Helper()
	if err := r.PromoteShares(t.Context(), allUsers(version)); err != nil {
		t.Fatal(err)
	}
}

func rollBack(t *testing.T, r *Registry) {
	t.Helper()
	if _, err := r.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}
