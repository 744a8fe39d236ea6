package ranks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"genrec/model/tensor"
	"genrec/pkg/launch"

	"github.com/sugarme/gotch"
	"golang.org/x/sys/unix"
)

// quick waits as long as a test may take.
func quick(p launch.Place) Config {
	return Config{Place: p, JoinTimeout: time.Minute, Timeout: 20 * time.Second, Beat: 50 * time.Millisecond}
}

// dir names a folder to the ranks of a test.
const dir = "GENREC_TEST_DIR"

// asRank joins the other ranks of the test if this process is one of them. The context is
// that of what it does.
func asRank(t *testing.T, configure func(launch.Place) Config) (context.Context, *Group) {
	t.Helper()
	p, isRank, err := launch.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if !isRank {
		return nil, nil
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	g, err := Join(ctx, cancel, configure(p))
	if err != nil {
		t.Fatal(err)
	}
	return ctx, g
}

// launched runs the calling test again as ranks.
func launched(t *testing.T, size int) error {
	t.Helper()
	return launch.Run(t.Context(), size, 10*time.Second, "-test.run", "^"+t.Name()+"$")
}

func floats(values ...float32) *tensor.Tensor {
	s := &tensor.Scope{Device: gotch.CPU}
	return s.Floats(values, int64(len(values)))
}

func TestWhatRanksTellEachOther(t *testing.T) {
	const size = 3
	_, g := asRank(t, quick)
	if g == nil {
		if err := launched(t, size); err != nil {
			t.Error(err)
		}
		return
	}
	defer g.Leave()
	long := bytes.Repeat([]byte("all the sequences "), mostBytes/10)
	if g.Rank == 0 {
		time.Sleep(10 * g.beat) // the others wait meanwhile
		w := g.Writer()
		if _, err := io.Copy(w, bytes.NewReader(long)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	} else if got, err := io.ReadAll(g.Reader()); err != nil || !bytes.Equal(got, long) {
		t.Fatalf("rank 0 wrote %d bytes, %d came, and %v", len(long), len(got), err)
	}
	if counts, err := g.Gather(10 * g.Rank); err != nil || !slices.Equal(counts, []int{0, 10, 20}) {
		t.Fatalf("gathered %v, %v", counts, err)
	}
	if loss, err := g.Step(float64(1 + g.Rank)); err != nil || loss != 6 {
		t.Fatalf("the losses sum up to %v, %v, want 6", loss, err)
	}
	a, b := floats(1, float32(g.Rank)), floats(float32(g.Rank*g.Rank))
	if err := g.Add([]*tensor.Tensor{a, b}); err != nil || !slices.Equal(a.Floats(), []float32{3, 3}) || b.Floats()[0] != 5 {
		t.Fatalf("the tensors sum up to %v and %v, %v", a.Floats(), b.Floats(), err)
	}
	own := floats(float32(7 - g.Rank))
	if err := g.Share([]*tensor.Tensor{own}); err != nil || own.Floats()[0] != 7 {
		t.Fatalf("rank 0 shared %v, %v, want 7", own.Floats(), err)
	}
	if err := g.Agree("snapshot", "abc"); err != nil {
		t.Fatal(err)
	}
	if err := g.Agree("device", []string{"cpu", "cpu", "cuda"}[g.Rank]); err == nil || !strings.Contains(err.Error(), "rank 2 has another device than rank 0") {
		t.Fatalf("error %v, want one that names rank 2", err)
	}
	if g.Rank == 0 {
		if err := g.End(nil); err != nil {
			t.Fatal(err)
		}
	} else if _, err := g.Receive(); !errors.Is(err, ErrDone) {
		t.Fatalf("error %v, want ErrDone", err)
	}
}

// The others hear why rank 0 ends, whatever they wait for.
func TestHowRankZeroEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason error
		wait   func(*Group) error
		ended  func(error) bool
	}{
		{
			"failure", errors.New("the disk is full"),
			func(g *Group) error { _, err := g.Step(1); return err },
			func(err error) bool { return strings.Contains(err.Error(), "rank 0 gave up: the disk is full") },
		},
		{
			"stop", fmt.Errorf("retrain: %w", context.Canceled),
			func(g *Group) error { _, err := g.Receive(); return err },
			func(err error) bool { return errors.Is(err, context.Canceled) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, g := asRank(t, quick)
			switch {
			case g == nil:
				if err := launched(t, 2); err != nil {
					t.Error(err)
				}
			case g.Rank == 0:
				if err := g.End(c.reason); err != nil {
					t.Error(err)
				}
			default:
				if err := c.wait(g); err == nil || !c.ended(err) {
					t.Errorf("error %v", err)
				}
				if _, err := g.Gather(1); err == nil {
					t.Error("the group goes on")
				}
			}
		})
	}
}

// A rank that wants to stop lets all of them stop behind the same step.
func TestStoppingTogether(t *testing.T) {
	p, isRank, err := launch.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if !isRank {
		if err := launched(t, 2); err != nil {
			t.Error(err)
		}
		return
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := func() { cancel(nil) }
	g, err := Join(ctx, cancel, quick(p))
	if err != nil {
		t.Fatal(err)
	}
	if g.Rank == 0 {
		err = g.Send(nil)
	} else {
		_, err = g.Receive()
	}
	if err != nil {
		t.Fatal(err)
	}
	const last = 5
	for step := 1; !g.Stopping(); step++ {
		if step == last && g.Rank == 1 {
			stop()
			for !g.wish.Load() {
				time.Sleep(time.Millisecond)
			}
		}
		if _, err := g.Step(0); err != nil {
			t.Fatal(err)
		}
		if step > last || g.Stopping() != (step == last) {
			t.Fatalf("step %d: stopping is %v, want it behind step %d alone", step, g.Stopping(), last)
		}
	}
	stop()
}

// A rank that dies, or hangs, or wants to stop, ends what the others do, whether they
// compute or wait.
func TestTroubleEndsTheOthers(t *testing.T) {
	for _, c := range []struct {
		name    string
		trouble func(*Group)
		wait    func(context.Context, *Group) error // of rank 0
		want    error
	}{
		{"death in a step", die, steps, ErrLost},
		{"death in a hold", die, waitInHold, ErrLost},
		{"hanging in a step", hang, steps, ErrLost},
		{"stop in a hold", func(g *Group) { g.wish.Store(true); _, _ = g.Receive() }, waitInHold, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, g := asRank(t, func(p launch.Place) Config {
				c := quick(p)
				c.Timeout = 3 * time.Second
				return c
			})
			if g == nil {
				t.Setenv(dir, t.TempDir())
				started := time.Now()
				if err := launched(t, 2); err == nil {
					t.Error("no rank ended with an error")
				}
				said, err := os.ReadFile(filepath.Join(os.Getenv(dir), "rank 0"))
				if err != nil || len(said) > 0 {
					t.Errorf("%v %s", err, said)
				}
				if took := time.Since(started); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
				return
			}
			if g.Rank > 0 {
				c.trouble(g)
				os.Exit(1)
			}
			signal.Ignore(syscall.SIGTERM) // rank 0 is to find out by itself
			said := ""
			if err := c.wait(ctx, g); !errors.Is(err, c.want) {
				said = fmt.Sprintf("rank 0 ended with %v, want %v", err, c.want)
			}
			if err := os.WriteFile(filepath.Join(os.Getenv(dir), "rank 0"), []byte(said), 0o600); err != nil {
				t.Error(err)
			}
		})
	}
}

func die(*Group) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }

func hang(*Group) { time.Sleep(10 * time.Second) }

func waitInHold(ctx context.Context, _ *Group) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(15 * time.Second):
		return errors.New("nothing happened in 15 s")
	}
}

func steps(_ context.Context, g *Group) error {
	g.release()
	for {
		if _, err := g.Step(1); err != nil {
			return err
		}
	}
}

func TestNobodyComes(t *testing.T) {
	p := launch.Place{Rank: 1, Size: 2, LocalSize: 1, Host: "127.0.0.1", Port: 1}
	started := time.Now()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, err := Join(ctx, cancel, Config{Place: p, JoinTimeout: 2 * time.Second, Timeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "join 2 ranks at 127.0.0.1:1 as rank 1") {
		t.Errorf("error %v, want one that says who was looked for", err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("gave up after %v, want 2 s", took)
	}
}

// A write into a connection that a dead rank has closed comes with SIGPIPE, in whatever thread
// of Gloo's it happens. It must not end the process, or nobody would learn why.
func TestWritesIntoNowhereEndNobody(t *testing.T) {
	_, g := asRank(t, quick)
	if g == nil {
		if err := launched(t, 2); err != nil {
			t.Errorf("%v: SIGPIPE has to be ignored in all threads", err)
		}
		return
	}
	defer g.Leave()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err == nil {
			err = unix.Tgkill(os.Getpid(), id, syscall.SIGPIPE)
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) { // a thread that has ended meanwhile
			t.Fatal(err)
		}
	}
	if g.Rank == 0 {
		g.release()
	}
	if loss, err := g.Step(1); err != nil || loss != 2 {
		t.Errorf("the losses sum up to %v, %v, want 2", loss, err)
	}
}
