package inference

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestOffsetsCommitTheFinishedPrefix(t *testing.T) {
	o := newOffsetTracker()
	if next, advanced := o.advance(); advanced {
		t.Fatalf("without a message, got %d to commit", next)
	}
	var added []offsetHandle
	for _, number := range []int64{10, 11, 12, 20} { // with a gap
		added = append(added, o.add(number))
	}
	steps := []struct {
		finish int   // -1: none
		want   int64 // 0: nothing
	}{
		{finish: -1}, {finish: 1}, {finish: 0, want: 12}, {finish: 0}, {finish: 3}, {finish: 2, want: 21},
	}
	for i, step := range steps {
		if step.finish >= 0 {
			added[step.finish].finish()
		}
		if got, _ := o.advance(); got != step.want {
			t.Fatalf("step %d, message %d finished: got %d to commit, want %d", i, step.finish, got, step.want)
		}
	}
}

// TestOffsetsProperty adds and finishes messages at random. A commit must never pass an unfinished
// message, and must reach the end once all are finished.
func TestOffsetsProperty(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			o := newOffsetTracker()
			open := make(map[int64]offsetHandle)
			next, committed := random.Int64N(100), int64(0)
			commit := func() {
				to, advanced := o.advance()
				if !advanced {
					return
				}
				if to <= committed {
					t.Fatalf("got %d to commit after %d", to, committed)
				}
				for number := range open {
					if number < to {
						t.Fatalf("got %d to commit, but message %d is not finished", to, number)
					}
				}
				committed = to
			}
			finish := func() {
				for number, done := range open {
					done.finish()
					delete(open, number)
					return
				}
			}
			for range 300 {
				switch random.IntN(5) {
				case 0:
					commit()
				case 1, 2:
					open[next] = o.add(next)
					next += 1 + random.Int64N(2)*random.Int64N(5)
				default:
					finish()
				}
			}
			last := next
			open[last] = o.add(last)
			for len(open) > 0 {
				finish()
			}
			commit()
			if committed != last+1 || o.unfinished.Len() != 0 {
				t.Errorf("all messages are finished, but %d of %d are committed and %d are tracked", committed, last+1, o.unfinished.Len())
			}
		})
	}
}
