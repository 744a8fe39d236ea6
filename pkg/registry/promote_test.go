package registry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestSplitAndCurrent(t *testing.T) {
	r := open(t)
	a, b, c := publish(t, r, "a"), publish(t, r, "b"), publish(t, r, "c")
	for _, test := range []struct {
		shares  []Share
		current string
	}{
		{[]Share{{a, 100}}, a},
		{[]Share{{a, 90}, {b, 10}}, a},
		{[]Share{{a, 10}, {b, 90}}, b},
		{[]Share{{b, 40}, {a, 40}, {c, 20}}, b}, // of equal ones the first
	} {
		if err := r.PromoteShares(t.Context(), test.shares); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, test.shares) {
			t.Errorf("serving is %v (%v), want %v", got, err, test.shares)
		}
		if got, err := r.Current(t.Context()); err != nil || got != test.current {
			t.Errorf("current of %v is %q (%v), want %q", test.shares, got, err, test.current)
		}
	}
}

// A split is ended by an explicit decision only, not by the next published version.
func TestPromoteDoesNotEndSplit(t *testing.T) {
	r := open(t)
	a, b, next := publish(t, r, "a"), publish(t, r, "b"), publish(t, r, "next")
	split := []Share{{a, 90}, {b, 10}}
	if err := r.PromoteShares(t.Context(), split); err != nil {
		t.Fatal(err)
	}
	if err := r.Promote(t.Context(), next); !errors.Is(err, ErrSplit) || !strings.Contains(err.Error(), a+":90 "+b+":10") {
		t.Errorf("error %v, want ErrSplit with the shares", err)
	}
	if got, err := r.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, split) {
		t.Errorf("serving is %v (%v), want %v", got, err, split)
	}
	if err := r.PromoteShares(t.Context(), []Share{{b, 100}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Promote(t.Context(), next); err != nil {
		t.Errorf("after the split: %v", err)
	}
}

func TestInvalidSharesAreRejected(t *testing.T) {
	r := open(t)
	a, b := publish(t, r, "a"), publish(t, r, "b")
	if err := r.Promote(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		shares []Share
		want   string
	}{
		{nil, "add up to 100 percent, not to 0"},
		{[]Share{{a, 50}}, "add up to 100 percent, not to 50"},
		{[]Share{{a, 60}, {b, 60}}, "add up to 100 percent, not to 120"},
		{[]Share{{a, 100}, {b, 0}}, ": 0 percent"},
		{[]Share{{a, 110}, {b, -10}}, ": 110 percent"},
		{[]Share{{a, 50}, {a, 50}}, "two shares"},
		{[]Share{{a, 50}, {"v000009", 50}}, "v000009"},
		{[]Share{{"../x", 100}}, "invalid version name"},
	} {
		if err := r.PromoteShares(t.Context(), test.shares); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want one with %q", test.shares, err, test.want)
		}
	}
	if got, err := r.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, allUsers(a)) {
		t.Errorf("after rejections, serving is %v (%v), want %v", got, err, allUsers(a))
	}
}

func TestRefusedVersionIsServedOnlyExplicitly(t *testing.T) {
	r := open(t)
	version := publish(t, r, "bad", Refused("NDCG@10 fell"), Parent("v000000"))
	m, err := r.Manifest(t.Context(), version)
	if err != nil || m.State != StateRefused || m.Reason != "NDCG@10 fell" || m.Parent != "v000000" {
		t.Fatalf("the manifest is %+v (%v)", m, err)
	}
	if err := r.Promote(t.Context(), version); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "NDCG@10 fell") {
		t.Errorf("Promote: error %v, want ErrRefused with the reason", err)
	}
	if err := r.PromoteShares(t.Context(), allUsers(version)); err != nil {
		t.Errorf("PromoteShares: %v", err)
	}
}

// Compares random promotions and rollbacks with a stack.
func TestRollbackReturnsToPreviousShares(t *testing.T) {
	r := open(t)
	if _, err := r.Rollback(t.Context()); !errors.Is(err, ErrNoPrevious) {
		t.Fatalf("empty: error %v, want ErrNoPrevious", err)
	}
	versions := []string{publish(t, r, "a"), publish(t, r, "b"), publish(t, r, "c")}
	random := rand.New(rand.NewPCG(1, 2))
	var stack [][]Share
	for step := range maxChanges - 1 {
		if random.IntN(3) == 0 {
			got, err := r.Rollback(t.Context())
			if len(stack) < 2 {
				if !errors.Is(err, ErrNoPrevious) {
					t.Fatalf("step %d: rolled back to %v (%v), want ErrNoPrevious", step, got, err)
				}
				continue
			}
			stack = stack[:len(stack)-1]
			if want := stack[len(stack)-1]; err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("step %d: rolled back to %v (%v), want %v", step, got, err, want)
			}
		} else {
			stack = append(stack, allUsers(versions[random.IntN(len(versions))]))
			if err := r.PromoteShares(t.Context(), stack[len(stack)-1]); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := r.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, stack[len(stack)-1]) {
			t.Fatalf("step %d: serving %v (%v), want %v", step, got, err, stack[len(stack)-1])
		}
	}
}

func TestChangesAreBounded(t *testing.T) {
	r := open(t)
	version := publish(t, r, "a")
	for range maxChanges + 10 {
		if err := r.Promote(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	if changes, err := r.Changes(t.Context()); err != nil || len(changes) != maxChanges {
		t.Fatalf("there are %d changes (%v), want %d", len(changes), err, maxChanges)
	}
}

func TestConcurrentPromotionsAreAllRecorded(t *testing.T) {
	r := open(t)
	const writers = 8
	var versions []string
	for range writers {
		versions = append(versions, publish(t, r, "x"))
	}
	var wg sync.WaitGroup
	for _, version := range versions {
		wg.Go(func() {
			if err := r.Promote(t.Context(), version); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	changes, err := r.Changes(t.Context())
	var promoted []string
	for _, c := range changes {
		promoted = append(promoted, c.Serving[0].Version)
	}
	slices.Sort(promoted)
	if err != nil || !slices.Equal(promoted, versions) {
		t.Fatalf("%d concurrent promotions left the changes %v (%v)", writers, promoted, err)
	}
}

func TestUsersMoveOnlyToGrowingShares(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	users := make([]string, 300)
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
	}
	percent := func(shares []Share, version string) float64 {
		i := slices.IndexFunc(shares, func(s Share) bool { return s.Version == version })
		if i < 0 {
			return 0
		}
		return float64(shares[i].Percent)
	}
	for range 300 {
		before, after := randomShares(random), randomShares(random)
		for _, user := range users {
			from, to := VersionFor(before, user), VersionFor(after, user)
			grown := percent(after, to)*percent(before, from) > percent(before, to)*percent(after, from)
			if from != to && !grown {
				t.Fatalf("from %v to %v, %s moves from %s to %s, whose share has not grown relative to it", before, after, user, from, to)
			}
			random.Shuffle(len(after), func(i, j int) { after[i], after[j] = after[j], after[i] })
			if again := VersionFor(after, user); again != to {
				t.Fatalf("%v: the order of the shares moves %s from %s to %s", after, user, to, again)
			}
		}
	}
}

func randomShares(random *rand.Rand) []Share {
	names := []string{"v000001", "v000002", "v000003", "v000004"}
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var shares []Share
	left := 100
	for _, name := range names[:random.IntN(len(names))] {
		part := 1 + random.IntN(left-4)
		shares = append(shares, Share{name, part})
		if left -= part; left < 10 {
			break
		}
	}
	return append(shares, Share{names[len(names)-1], left})
}

func TestSharesOfUsers(t *testing.T) {
	shares := []Share{{"v000001", 60}, {"v000002", 30}, {"v000003", 10}}
	const users = 20000
	counts := make(map[string]int)
	for i := range users {
		counts[VersionFor(shares, fmt.Sprintf("u%d", i))]++
	}
	for _, s := range shares {
		// At least five standard deviations.
		if got := float64(counts[s.Version]) / users * 100; got < float64(s.Percent)-2 || got > float64(s.Percent)+2 {
			t.Errorf("%s serves %.1f percent of the users, want %d", s.Version, got, s.Percent)
		}
	}
	if got := VersionFor(nil, "u"); got != "" {
		t.Errorf("without shares, %q serves", got)
	}
}

func FuzzServingState(f *testing.F) {
	for _, state := range []string{
		"2026-03-01T12:00:00Z promote v000001\n", "2026-03-01T12:00:00Z rollback v000001:90 v000002:10\n", "",
		"2026-03-01T12:00:00Z promote ../../etc\n", "/", "v\x00", "2026-03-01T12:00:00Z promote .",
	} {
		f.Add([]byte(state))
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		root := t.TempDir()
		r, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, stateFile), state, 0o644); err != nil {
			t.Fatal(err)
		}
		changes, err := r.Changes(t.Context())
		for _, change := range changes {
			for _, s := range change.Serving {
				if filepath.Dir(r.Dir(s.Version)) != filepath.Join(root, versionsFolder) {
					t.Fatalf("the state %q refers to %s, outside the registry", state, r.Dir(s.Version))
				}
			}
		}
		if err == nil {
			if again, err := parseChanges(formatChanges(changes)); err != nil || !reflect.DeepEqual(again, changes) {
				t.Fatalf("%q parses as %v, but after formatting as %v (%v)", state, changes, again, err)
			}
		}
	})
}
