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
		if err := r.SetServing(t.Context(), test.shares); err != nil {
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

// What is compared is not ended by who publishes the next version, only by who decides.
func TestSetCurrentEndsNoSplit(t *testing.T) {
	r := open(t)
	a, b, next := publish(t, r, "a"), publish(t, r, "b"), publish(t, r, "next")
	split := []Share{{a, 90}, {b, 10}}
	if err := r.SetServing(t.Context(), split); err != nil {
		t.Fatal(err)
	}
	if err := r.SetCurrent(t.Context(), next); !errors.Is(err, ErrSplit) || !strings.Contains(err.Error(), a+":90 "+b+":10") {
		t.Errorf("error %v, want ErrSplit with the shares", err)
	}
	if got, err := r.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, split) {
		t.Errorf("serving is %v (%v), want %v", got, err, split)
	}
	if err := r.SetServing(t.Context(), []Share{{b, 100}}); err != nil {
		t.Fatal(err)
	}
	if err := r.SetCurrent(t.Context(), next); err != nil {
		t.Errorf("after the split: %v", err)
	}
}

func TestWrongSharesAreRefused(t *testing.T) {
	r := open(t)
	a, b := publish(t, r, "a"), publish(t, r, "b")
	if err := r.SetCurrent(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		shares []Share
		want   string
	}{
		{nil, "add up to 0 percent"},
		{[]Share{{a, 50}}, "add up to 50 percent"},
		{[]Share{{a, 60}, {b, 60}}, "add up to 120 percent"},
		{[]Share{{a, 100}, {b, 0}}, "cannot have 0 percent"},
		{[]Share{{a, 110}, {b, -10}}, "cannot have 110 percent"},
		{[]Share{{a, 50}, {a, 50}}, "two shares"},
		{[]Share{{a, 50}, {"v000009", 50}}, "v000009"},
		{[]Share{{"../x", 100}}, "names no version"},
	} {
		if err := r.SetServing(t.Context(), test.shares); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want one with %q", test.shares, err, test.want)
		}
	}
	if got, err := r.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, all(a)) {
		t.Errorf("after refusals, serving is %v (%v), want %v", got, err, all(a))
	}
}

func TestRefusedVersionIsServedOnlyByHand(t *testing.T) {
	r := open(t)
	version := publish(t, r, "bad", Refused("NDCG@10 fell"), Parent("v000000"))
	m, err := r.Manifest(t.Context(), version)
	if err != nil || m.State != StateRefused || m.Reason != "NDCG@10 fell" || m.Parent != "v000000" {
		t.Fatalf("the manifest is %+v (%v)", m, err)
	}
	if err := r.SetCurrent(t.Context(), version); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "NDCG@10 fell") {
		t.Errorf("made current: error %v, want ErrRefused with the reason", err)
	}
	if err := r.SetServing(t.Context(), all(version)); err != nil {
		t.Errorf("by hand: %v", err)
	}
}

// Against a stack, with random moves.
func TestRollbackReturnsToWhatWasServed(t *testing.T) {
	r := open(t)
	if _, err := r.Rollback(t.Context()); !errors.Is(err, ErrNothingBefore) {
		t.Fatalf("empty: error %v, want ErrNothingBefore", err)
	}
	versions := []string{publish(t, r, "a"), publish(t, r, "b"), publish(t, r, "c")}
	random := rand.New(rand.NewPCG(1, 2))
	var stack [][]Share
	for step := range historyLength - 1 {
		if random.IntN(3) == 0 {
			got, err := r.Rollback(t.Context())
			if len(stack) < 2 {
				if !errors.Is(err, ErrNothingBefore) {
					t.Fatalf("step %d: rolled back to %v (%v), want ErrNothingBefore", step, got, err)
				}
				continue
			}
			stack = stack[:len(stack)-1]
			if want := stack[len(stack)-1]; err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("step %d: rolled back to %v (%v), want %v", step, got, err, want)
			}
		} else {
			stack = append(stack, all(versions[random.IntN(len(versions))]))
			if err := r.SetServing(t.Context(), stack[len(stack)-1]); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := r.Serving(t.Context()); err != nil || !reflect.DeepEqual(got, stack[len(stack)-1]) {
			t.Fatalf("step %d: serving %v (%v), want %v", step, got, err, stack[len(stack)-1])
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	r := open(t)
	version := publish(t, r, "a")
	for range historyLength + 10 {
		if err := r.SetCurrent(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	if moves, err := r.History(t.Context()); err != nil || len(moves) != historyLength {
		t.Fatalf("the history has %d moves (%v), want %d", len(moves), err, historyLength)
	}
}

func TestConcurrentMovesAreAllRecorded(t *testing.T) {
	r := open(t)
	const movers = 8
	var versions []string
	for range movers {
		versions = append(versions, publish(t, r, "x"))
	}
	var wg sync.WaitGroup
	for _, version := range versions {
		wg.Go(func() {
			if err := r.SetCurrent(t.Context(), version); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	moves, err := r.History(t.Context())
	var moved []string
	for _, m := range moves {
		moved = append(moved, m.Serving[0].Version)
	}
	slices.Sort(moved)
	if err != nil || !slices.Equal(moved, versions) {
		t.Fatalf("%d moves at once left a history of %v (%v)", movers, moved, err)
	}
}

func TestUsersMoveOnlyToWhatGrows(t *testing.T) {
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
				t.Fatalf("from %v to %v, %s moves from %s to %s, which has not grown beside it", before, after, user, from, to)
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

func TestSharesAreWhatTheySay(t *testing.T) {
	shares := []Share{{"v000001", 60}, {"v000002", 30}, {"v000003", 10}}
	const users = 20000
	counts := make(map[string]int)
	for i := range users {
		counts[VersionFor(shares, fmt.Sprintf("u%d", i))]++
	}
	for _, s := range shares {
		// Five standard deviations, at the most.
		if got := float64(counts[s.Version]) / users * 100; got < float64(s.Percent)-2 || got > float64(s.Percent)+2 {
			t.Errorf("%s serves %.1f percent of the users, want %d", s.Version, got, s.Percent)
		}
	}
	if got := VersionFor(nil, "u"); got != "" {
		t.Errorf("without shares, %q serves", got)
	}
}

func FuzzPointer(f *testing.F) {
	for _, pointer := range []string{
		"2026-03-01T12:00:00Z promote v000001\n", "2026-03-01T12:00:00Z rollback v000001:90 v000002:10\n", "",
		"2026-03-01T12:00:00Z promote ../../etc\n", "/", "v\x00", "2026-03-01T12:00:00Z promote .",
	} {
		f.Add([]byte(pointer))
	}
	f.Fuzz(func(t *testing.T, pointer []byte) {
		root := t.TempDir()
		r, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, pointerFile), pointer, 0o644); err != nil {
			t.Fatal(err)
		}
		moves, err := r.History(t.Context())
		for _, move := range moves {
			for _, s := range move.Serving {
				if filepath.Dir(r.Dir(s.Version)) != filepath.Join(root, versionsFolder) {
					t.Fatalf("the pointer %q leads out of the registry, to %s", pointer, r.Dir(s.Version))
				}
			}
		}
		if err == nil {
			if again, err := parseMoves(formatMoves(moves)); err != nil || !reflect.DeepEqual(again, moves) {
				t.Fatalf("%q reads as %v, and written again as %v (%v)", pointer, moves, again, err)
			}
		}
	})
}
