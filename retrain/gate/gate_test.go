package gate

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// gains returns NDCG@10 of users of whom perHundred in a hundred have their item first.
func gains(users, perHundred int) []float64 {
	all := make([]float64, users)
	for i := range all {
		if i%100 < perHundred {
			all[i] = 1
		}
	}
	return all
}

// others returns as many gains of other users.
func others(users, perHundred int) []float64 {
	all := gains(users, perHundred)
	slices.Reverse(all)
	return all
}

func with(change func(*Lists)) Lists {
	l := fine
	change(&l)
	return l
}

func TestCompareWithCurrent(t *testing.T) {
	type side struct {
		all, newest []float64
		lists       Lists
	}
	for _, c := range []struct {
		name               string
		candidate, current side
		gains              Gains
		promoted           bool
		reason             string
	}{
		{"better", side{gains(2000, 30), gains(300, 30), fine}, side{gains(2000, 20), gains(300, 20), fine}, Gains{0, 1}, true, "better: NDCG@10 on the newest"},
		{"better on the newest alone", side{gains(2000, 20), gains(300, 30), fine}, side{gains(2000, 20), gains(300, 20), fine}, Gains{0, 1}, true, "better"},
		{"better without newer interactions", side{gains(2000, 30), nil, fine}, side{gains(2000, 20), nil, fine}, Gains{0, 1}, true, "better: NDCG@10 on leave-one-out of 2000 users is 0.3000, that of v000012 0.2000"},
		{"better on one, worse on the other", side{gains(2000, 30), gains(300, 20), fine}, side{gains(2000, 20), gains(300, 30), fine}, Gains{9, 1}, false, "worse"},
		{"worse", side{gains(2000, 20), gains(300, 20), fine}, side{gains(2000, 30), gains(300, 30), fine}, Gains{9, 3}, false, "worse"},
		{"the same", side{gains(2000, 20), gains(300, 20), fine}, side{gains(2000, 20), gains(300, 20), fine}, Gains{0, 1.4}, false, "over the same items"},
		{"the same with new items", side{gains(2000, 20), gains(300, 20), fine}, side{gains(2000, 20), gains(300, 20), fine}, Gains{7, 1}, true, "it has 7 items that v000012 does not have"},
		{"too few for that", side{others(500, 12), nil, fine}, side{gains(500, 12), nil, fine}, Gains{7, 1}, false, "nor to lose less than 10 %"},
		{"few users", side{gains(90, 40), nil, fine}, side{gains(90, 10), nil, fine}, Gains{7, 1.9}, false, "not enough evidence: of 90 users, 40"},
		{"few users of a shop that grew", side{gains(90, 20), nil, fine}, side{gains(90, 20), nil, fine}, Gains{0, 2.5}, true, "2.5 times as many interactions as v000012"},
		{"few users, and worse", side{gains(90, 10), nil, fine}, side{gains(90, 40), nil, fine}, Gains{0, 2.5}, false, "not enough evidence"},
		{"no users", side{nil, nil, fine}, side{nil, nil, fine}, Gains{7, 1}, false, "of 0 users"},
		{"better, but broken lists", side{gains(2000, 30), nil, with(func(l *Lists) { l.Valid = 0.98 })}, side{gains(2000, 20), nil, fine}, Gains{0, 1}, false, "only 98.0 % of its lists"},
		{"better, but few items", side{gains(2000, 30), nil, with(func(l *Lists) { l.Coverage = 0.14 })}, side{gains(2000, 20), nil, fine}, Gains{0, 1}, false, "its lists cover 14.0 % of the catalog, those of the current version 30.0 %"},
		{"better, but popular items", side{gains(2000, 30), nil, with(func(l *Lists) { l.Popular = 0.7 })}, side{gains(2000, 20), nil, fine}, Gains{0, 1}, false, "fill 70.0 % of the slots in its lists, but are only 20.0 %"},
		{"as popular as the current", side{gains(2000, 30), nil, with(func(l *Lists) { l.Popular = 0.7 })}, side{gains(2000, 20), nil, with(func(l *Lists) { l.Popular = 0.7 })}, Gains{0, 1}, true, "better"},
		{"better, but slow", side{gains(2000, 30), nil, with(func(l *Lists) { l.BatchSeconds = 0.8 })}, side{gains(2000, 20), nil, with(func(l *Lists) { l.BatchSeconds = 0.2 })}, Gains{0, 1}, false, "takes 0.80 s, with the current version 0.20 s"},
		{"slower within the noise", side{gains(2000, 30), nil, with(func(l *Lists) { l.BatchSeconds = 0.09 })}, side{gains(2000, 20), nil, with(func(l *Lists) { l.BatchSeconds = 0.01 })}, Gains{0, 1}, true, "better"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Candidate{Results{c.candidate.all, c.candidate.newest, c.candidate.lists}, 0.2, 1}.
				CompareWithCurrent("v000012", Results{c.current.all, c.current.newest, c.current.lists}, c.gains)
			if v.Promoted != c.promoted || !strings.Contains(v.Reason, c.reason) {
				t.Errorf("promoted %v, %q; want %v with %q", v.Promoted, v.Reason, c.promoted, c.reason)
			}
			if v.Baseline != "v000012" || v.LeaveOneOut.Users != len(c.candidate.all) || v.Newest.Users != len(c.candidate.newest) || len(v.Checks) != 4 {
				t.Errorf("the verdict lacks figures: %+v", v)
			}
		})
	}
}

func TestCompareWithPopular(t *testing.T) {
	for _, c := range []struct {
		name       string
		candidate  []float64
		lists      Lists
		popularity []float64
		promoted   bool
		reason     string
	}{
		{"better than the popular items", gains(300, 30), fine, gains(300, 10), true, "better than the popular items"},
		{"as good as the popular items", gains(300, 10), fine, gains(300, 10), false, "not better than the popular items"},
		{"few users", gains(99, 0), fine, gains(99, 10), true, "too few users"},
		{"broken lists", gains(300, 30), with(func(l *Lists) { l.Valid = 0 }), gains(300, 10), false, "only 0.0 % of its lists"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Candidate{Results{LeaveOneOut: c.candidate, Lists: c.lists}, 0.2, 1}.CompareWithPopular("nothing is served", c.popularity)
			if v.Promoted != c.promoted || !strings.Contains(v.Reason, c.reason) || !strings.HasPrefix(v.Reason, "nothing is served; ") {
				t.Errorf("promoted %v, %q; want %v with %q", v.Promoted, v.Reason, c.promoted, c.reason)
			}
			if v.Baseline != Popularity {
				t.Errorf("the baseline is %q, want the popular items", v.Baseline)
			}
		})
	}
}

// TestIntervalIsThatOfTheMean compares the interval with that of a normal distribution, and checks that it
// depends on the seed only.
func TestIntervalIsThatOfTheMean(t *testing.T) {
	const users, seed = 20_000, 5
	candidate, current := gains(users, 40), gains(users, 30) // a tenth of the users differ, by 1
	run := func() Comparison {
		return Candidate{Results: Results{LeaveOneOut: candidate}, Seed: seed}.CompareWithCurrent("v1", Results{LeaveOneOut: current}, Gains{}).LeaveOneOut
	}
	c := run()
	if c != run() {
		t.Error("one seed gave two intervals")
	}
	const quantile = 2.2414 // of the normal distribution, at 1 - 0.0125
	half := quantile * math.Sqrt(0.1*0.9/users)
	for _, bound := range []struct{ got, want float64 }{{c.Low, 0.1 - half}, {c.High, 0.1 + half}} {
		if math.Abs(bound.got-bound.want) > half/8 {
			t.Errorf("a bound of the interval is %.5f, theory says %.5f", bound.got, bound.want)
		}
	}
	for i := range candidate { // everybody differs
		candidate[i], current[i] = 1, 0
	}
	if c := run(); c.Low != 1 || c.High != 1 {
		t.Errorf("where all users gain 1 the interval is from %v to %v", c.Low, c.High)
	}
}

func TestTally(t *testing.T) {
	tally := NewTally(map[string]bool{"a": true})
	tally.Batch(3 * time.Second)
	tally.Batch(2 * time.Second)
	tally.Add([]string{"a", "b"}, []float64{0.5, 0.1}, 2)
	tally.Add([]string{"a", "a"}, []float64{0.5, 0.1}, 2)
	tally.Add([]string{"c"}, []float64{0.5}, 2)
	tally.Add([]string{"c", "d"}, []float64{math.NaN(), 0.1}, 2)
	tally.Add([]string{"c", "d"}, []float64{0.1, math.Inf(1)}, 2)
	want := Lists{Valid: 1. / 5, Coverage: 4. / 8, Popular: 3. / 9, BatchSeconds: 2}
	if got := tally.Lists(8); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := NewTally(nil).Lists(8); got != (Lists{Valid: 1}) {
		t.Errorf("without lists: %+v", got)
	}

	var long []string
	for i := range 20 {
		long = append(long, string(rune('a'+i)))
	}
	tally = NewTally(nil)
	tally.Add(long, make([]float64, 20), 20)
	if got := tally.Lists(20); got.Valid != 1 || got.Coverage != 0.5 {
		t.Errorf("%+v of a list of 20 items, want one that is valid and of which 10 count", got)
	}
}
