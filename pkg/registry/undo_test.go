package registry

import (
	"context"
	"errors"
	"reflect"
	"testing"
)

// unsettled is a storage in which a removal goes on, while others do something.
type unsettled struct {
	storage
	meanwhile func()
}

var errUnsettled = errors.New("being removed")

func (u *unsettled) settle(context.Context, string) error {
	meanwhile := u.meanwhile
	u.meanwhile = func() {}
	meanwhile()
	return errUnsettled
}

// A promotion that does not settle undoes itself, and nobody else's.
func TestUndoneIsOnlyOnesOwn(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(t *testing.T, others *Registry, old, failing, next string)
		serves    string // then: old, failing or next
		before    string // what a rollback returns to; "": to nothing
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
			r.storage = &unsettled{r.storage, func() {
				test.meanwhile(t, &others, versions["old"], versions["failing"], versions["next"])
			}}
			if err := r.SetServing(t.Context(), all(versions["failing"])); !errors.Is(err, errUnsettled) {
				t.Errorf("error %v, want that the promotion does not settle", err)
			}
			if got, err := others.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, all(versions[test.serves])) {
				t.Errorf("%v serves (%v), want %s", got, err, versions[test.serves])
			}
			switch got, err := others.Rollback(t.Context()); {
			case test.before == "":
				if !errors.Is(err, ErrNothingBefore) {
					t.Errorf("rolled back to %v (%v), want that nothing was before", got, err)
				}
			case err != nil || !reflect.DeepEqual(got, all(versions[test.before])):
				t.Errorf("rolled back to %v (%v), want %s", got, err, versions[test.before])
			}
		})
	}
}

// The history may be full: what is cut off of it is no reason to undo the wrong promotion.
func TestUndoInAFullHistory(t *testing.T) {
	r := open(t)
	old, failing, next := publish(t, r, "old"), publish(t, r, "failing"), publish(t, r, "next")
	for range historyLength + 1 {
		promote(t, r, old)
	}
	others := *r
	for _, meanwhile := range []string{"", next} {
		r.storage = &unsettled{others.storage, func() {
			if meanwhile != "" {
				promote(t, &others, meanwhile)
			}
		}}
		if err := r.SetServing(t.Context(), all(failing)); !errors.Is(err, errUnsettled) {
			t.Fatalf("error %v, want that the promotion does not settle", err)
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
	if err := r.SetServing(t.Context(), all(version)); err != nil {
		t.Fatal(err)
	}
}

func rollBack(t *testing.T, r *Registry) {
	t.Helper()
	if _, err := r.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}
