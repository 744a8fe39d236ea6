package dist

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

	"github.com/sugarme/gotch"
	"golang.org/x/sys/unix"
)

// testConfig has timeouts that fit a test.
func testConfig(r RankInfo) Config {
	return Config{RankInfo: r, JoinTimeout: time.Minute, Timeout: 20 * time.Second, Heartbeat: 50 * time.Millisecond}
}

// dir is the environment variable with the folder that the ranks of a test share.
const dir = "GENREC_TEST_DIR"

// joinAsRank joins the other ranks of the test if this process is a rank; otherwise the group is
// nil. The context is the one that the group cancels.
func joinAsRank(t *testing.T, configure func(RankInfo) Config) (context.Context, *Group) {
	t.Helper()
	r, isRank, err := FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if !isRank {
		return nil, nil
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	g, err := Join(ctx, cancel, configure(r))
	if err != nil {
		t.Fatal(err)
	}
	return ctx, g
}

// launch runs the calling test again in several ranks.
func launch(t *testing.T, size int) error {
	t.Helper()
	return Launch(t.Context(), size, 10*time.Second, "-test.run", "^"+t.Name()+"$")
}

func floats(values ...float32) *tensor.Tensor {
	s := &tensor.Scope{Device: gotch.CPU}
	return s.Floats(values, int64(len(values)))
}

func TestCollectiveCalls(t *testing.T) {
	const size = 3
	_, g := joinAsRank(t, testConfig)
	if g == nil {
		if err := launch(t, size); err != nil {
			t.Error(err)
		}
		return
	}
	defer g.Close()
	long := bytes.Repeat([]byte("all the sequences "), maxChunk/10)
	if g.Rank == 0 {
		time.Sleep(10 * g.heartbeat) // the others wait in Receive
		w := g.Writer()
		if _, err := io.Copy(w, bytes.NewReader(long)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	} else if got, err := io.ReadAll(g.Reader()); err != nil || !bytes.Equal(got, long) {
		t.Fatalf("rank 0 wrote %d bytes, %d arrived, error %v", len(long), len(got), err)
	}
	if counts, err := g.AllGather(10 * g.Rank); err != nil || !slices.Equal(counts, []int{0, 10, 20}) {
		t.Fatalf("gathered %v, %v", counts, err)
	}
	if loss, err := g.SumLoss(float64(1 + g.Rank)); err != nil || loss != 6 {
		t.Fatalf("the sum of the losses is %v, %v, want 6", loss, err)
	}
	a, b := floats(1, float32(g.Rank)), floats(float32(g.Rank*g.Rank))
	if err := g.AllReduce([]*tensor.Tensor{a, b}); err != nil || !slices.Equal(a.Floats(), []float32{3, 3}) || b.Floats()[0] != 5 {
		t.Fatalf("the sums of the tensors are %v and %v, %v", a.Floats(), b.Floats(), err)
	}
	own := floats(float32(7 - g.Rank))
	if err := g.BroadcastTensors([]*tensor.Tensor{own}); err != nil || own.Floats()[0] != 7 {
		t.Fatalf("rank 0 shared %v, %v, want 7", own.Floats(), err)
	}
	if err := g.VerifyEqual("snapshot", "abc"); err != nil {
		t.Fatal(err)
	}
	if err := g.VerifyEqual("device", []string{"cpu", "cpu", "cuda"}[g.Rank]); err == nil || !strings.Contains(err.Error(), "rank 2 has another device than rank 0") {
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

// The other ranks get the reason of rank 0, whichever call they wait in.
func TestEndReachesTheOthers(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason error
		wait   func(*Group) error
		ended  func(error) bool
	}{
		{
			"failure", errors.New("the disk is full"),
			func(g *Group) error { _, err := g.SumLoss(1); return err },
			func(err error) bool { return strings.Contains(err.Error(), "rank 0 failed: the disk is full") },
		},
		{
			"stop", fmt.Errorf("retrain: %w", context.Canceled),
			func(g *Group) error { _, err := g.Receive(); return err },
			func(err error) bool { return errors.Is(err, context.Canceled) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, g := joinAsRank(t, testConfig)
			switch {
			case g == nil:
				if err := launch(t, 2); err != nil {
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
				if _, err := g.AllGather(1); err == nil {
					t.Error("a call succeeds after the end")
				}
			}
		})
	}
}

// If one rank is asked to stop, all ranks stop after the same step.
func TestRanksStopBeforeTheSameStep(t *testing.T) {
	r, isRank, err := FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if !isRank {
		if err := launch(t, 2); err != nil {
			t.Error(err)
		}
		return
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := func() { cancel(nil) }
	g, err := Join(ctx, cancel, testConfig(r))
	if err != nil {
		t.Fatal(err)
	}
	if g.Rank == 0 {
		err = g.Broadcast(nil)
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
			for !g.stop.Load() {
				time.Sleep(time.Millisecond)
			}
		}
		if _, err := g.SumLoss(0); err != nil {
			t.Fatal(err)
		}
		if step > last || g.Stopping() != (step == last) {
			t.Fatalf("step %d: stopping is %v, want true after step %d only", step, g.Stopping(), last)
		}
	}
	stop()
}

// A rank that dies, hangs or is asked to stop ends the work of rank 0, in a step or in a Hold.
func TestLostPeerEndsTheOthers(t *testing.T) {
	for _, c := range []struct {
		name    string
		failure func(*Group)
		wait    func(context.Context, *Group) error // of rank 0
		want    error
	}{
		{"death in a step", die, steps, ErrPeerLost},
		{"death in a hold", die, waitInHold, ErrPeerLost},
		{"hanging in a step", hang, steps, ErrPeerLost},
		{"stop in a hold", func(g *Group) { g.stop.Store(true); _, _ = g.Receive() }, waitInHold, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, g := joinAsRank(t, func(r RankInfo) Config {
				c := testConfig(r)
				c.Timeout = 3 * time.Second
				return c
			})
			if g == nil {
				t.Setenv(dir, t.TempDir())
				started := time.Now()
				if err := launch(t, 2); err == nil {
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
				c.failure(g)
				os.Exit(1)
			}
			signal.Ignore(syscall.SIGTERM) // rank 0 has to notice the loss itself
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
		if _, err := g.SumLoss(1); err != nil {
			return err
		}
	}
}

func TestJoinTimesOut(t *testing.T) {
	r := RankInfo{Rank: 1, WorldSize: 2, LocalWorldSize: 1, Host: "127.0.0.1", Port: 1}
	started := time.Now()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, err := Join(ctx, cancel, Config{RankInfo: r, JoinTimeout: 2 * time.Second, Timeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "join 2 ranks at 127.0.0.1:1 as rank 1") {
		t.Errorf("error %v, want one with the address and the rank", err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("gave up after %v, want 2 s", took)
	}
}

// Writing to a connection that a dead rank has closed raises SIGPIPE on one of Gloo's threads. It
// must not end the process, which has to report the error.
func TestSIGPIPEIsIgnored(t *testing.T) {
	_, g := joinAsRank(t, testConfig)
	if g == nil {
		if err := launch(t, 2); err != nil {
			t.Errorf("%v: SIGPIPE must be ignored on all threads", err)
		}
		return
	}
	defer g.Close()
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
	if loss, err := g.SumLoss(1); err != nil || loss != 2 {
		t.Errorf("the sum of the losses is %v, %v, want 2", loss, err)
	}
}
