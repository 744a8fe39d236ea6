package inference

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

func TestTrackerCommitsTheFinishedPrefix(t *testing.T) {
	tr := newTracker()
	var tickets []ticket
	for offset := range int64(4) {
		tickets = append(tickets, tr.add(0, 10+offset))
	}
	steps := []struct {
		finish int // -1: none
		want   map[int]int64
	}{
		{finish: -1, want: map[int]int64{}},
		{finish: 1, want: map[int]int64{}},
		{finish: 0, want: map[int]int64{0: 12}},
		{finish: 0, want: map[int]int64{}},
		{finish: 3, want: map[int]int64{}},
		{finish: 2, want: map[int]int64{0: 14}},
	}
	for i, step := range steps {
		if step.finish >= 0 {
			tr.finish(tickets[step.finish])
		}
		if got := tr.advance(); !maps.Equal(got, step.want) {
			t.Fatalf("step %d, message %d finished: got %v to commit, want %v", i, step.finish, got, step.want)
		}
	}
}

func TestTrackerForgetsTicketsOfRepeatedOffsets(t *testing.T) {
	tr := newTracker()
	tr.finish(tr.add(0, 5))
	before := tr.add(0, 6)
	again := tr.add(0, 6)
	tr.finish(before)
	if got, want := tr.advance(), (map[int]int64{0: 6}); !maps.Equal(got, want) {
		t.Fatalf("got %v to commit, want %v: the repeated message 6 is not finished", got, want)
	}
	tr.finish(again)
	if got, want := tr.advance(), (map[int]int64{0: 7}); !maps.Equal(got, want) {
		t.Fatalf("got %v to commit, want %v", got, want)
	}
}

// TestTrackerProperty fetches, finishes and rewinds at random. A commit may
// never pass a message that no one has finished, and once all is finished it
// has to reach the end.
func TestTrackerProperty(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			trackAtRandom(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

const trackedPartitions = 3

func trackAtRandom(t *testing.T, random *rand.Rand) {
	type message struct {
		partition int
		offset    int64
		ticket    ticket
	}
	var (
		tr        = newTracker()
		open      []message // fetched and not finished, stale ones too
		done      [trackedPartitions]map[int64]bool
		next      [trackedPartitions]int64
		committed [trackedPartitions]int64
	)
	for p := range done {
		done[p] = make(map[int64]bool)
	}
	fetch := func(p int) {
		offset := next[p]
		open = append(open, message{p, offset, tr.add(p, offset)})
		next[p] = offset + 1
	}
	finish := func() {
		at := random.IntN(len(open))
		m := open[at]
		open[at] = open[len(open)-1]
		open = open[:len(open)-1]
		tr.finish(m.ticket)
		done[m.partition][m.offset] = true
	}
	advance := func() {
		for p, offset := range tr.advance() {
			for o := range offset {
				if !done[p][o] {
					t.Fatalf("partition %d: %d is committed, but message %d is not finished", p, offset, o)
				}
			}
			committed[p] = offset
		}
	}

	for p := range trackedPartitions {
		fetch(p)
	}
	for range 400 {
		switch p := random.IntN(trackedPartitions); random.IntN(10) {
		case 0:
			advance()
		case 1:
			if random.IntN(4) == 0 { // rebalance: reading goes on at the last commit, or at a lower one that came late
				committed[p] -= random.Int64N(min(committed[p], 3) + 1)
				next[p] = committed[p]
				fetch(p)
			}
		case 2, 3, 4, 5:
			fetch(p)
		default:
			if len(open) > 0 {
				finish()
			}
		}
	}
	for len(open) > 0 {
		finish()
	}
	advance()
	for p := range trackedPartitions {
		if committed[p] != next[p] {
			t.Errorf("partition %d: all is finished, but %d of %d messages are committed", p, committed[p], next[p])
		}
		if n := tr.partitions[p].unfinished.Len(); n != 0 {
			t.Errorf("partition %d: %d finished messages are still tracked", p, n)
		}
	}
}
