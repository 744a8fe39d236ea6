package dist

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// launchLogged runs the calling test again in several ranks and returns their standard error.
func launchLogged(ctx context.Context, t *testing.T, size int, grace time.Duration) (logs string, err error) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "logs"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = file
	err = Launch(ctx, size, grace, "-test.run", "^"+t.Name()+"$")
	os.Stderr = stderr
	data, readErr := os.ReadFile(file.Name())
	if err := errors.Join(readErr, file.Close()); err != nil {
		t.Fatal(err)
	}
	return string(data), err
}

// rankInfo is that of this process, if it is a rank.
func rankInfo(t *testing.T) (RankInfo, bool) {
	t.Helper()
	r, isRank, err := FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	return r, isRank
}

func TestLaunchSetsRankInfo(t *testing.T) {
	if r, isRank := rankInfo(t); isRank {
		fmt.Fprintf(os.Stderr, "%d of %d, %d of %d here, at %s\nno end of line", r.Rank, r.WorldSize, r.LocalRank, r.LocalWorldSize, r.Host)
		if r.Rank == 0 {
			if _, err := r.listen(); err != nil {
				t.Error(err)
			}
		}
		return
	}
	logs, err := launchLogged(t.Context(), t, 2, GracePeriod)
	if err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	for rank := range 2 {
		for _, want := range []string{
			fmt.Sprintf("rank %d: %d of 2, %d of 2 here, at 127.0.0.1\n", rank, rank, rank), fmt.Sprintf("rank %d: no end of line", rank),
		} {
			if !strings.Contains(logs, want) {
				t.Errorf("the logs lack %q:\n%s", want, logs)
			}
		}
	}
}

// After the death of a rank, the others are stopped by SIGTERM, or by SIGKILL if they ignore that.
func TestLaunchStopsRanksAfterAFailure(t *testing.T) {
	if r, isRank := rankInfo(t); isRank {
		ready := filepath.Join(os.Getenv(dir), "ready")
		switch r.Rank {
		case 0: // terminated by SIGTERM
			time.Sleep(time.Minute)
		case 1:
			await(t, "rank 2", func() bool { _, err := os.Stat(ready); return err == nil })
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		case 2:
			signal.Ignore(syscall.SIGTERM)
			if err := os.WriteFile(ready, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		return
	}
	t.Setenv(dir, t.TempDir())
	started := time.Now()
	logs, err := launchLogged(t.Context(), t, 3, time.Second)
	if err == nil || !strings.HasPrefix(err.Error(), "rank 1: signal: killed") {
		t.Errorf("error %v, want one that begins with the rank that failed first\n%s", err, logs)
	}
	for _, want := range []string{"rank 0: signal: terminated", "rank 2: signal: killed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("the others ended after %v", took)
	}
}

func TestLaunchStopsRanksWithTheContext(t *testing.T) {
	if r, isRank := rankInfo(t); isRank {
		fmt.Fprintln(os.Stderr, "ready", r.Rank)
		time.Sleep(time.Minute)
		return
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	logs, err := launchLogged(ctx, t, 2, GracePeriod)
	if !errors.Is(err, context.DeadlineExceeded) || strings.Count(err.Error(), "signal: terminated") != 2 {
		t.Errorf("error %v, want context.DeadlineExceeded and two terminated ranks\n%s", err, logs)
	}
}

// Ranks are killed when the launcher dies without stopping them.
func TestRanksDieWithTheLauncher(t *testing.T) {
	const launcher = "GENREC_TEST_LAUNCHER"
	if r, isRank := rankInfo(t); isRank {
		name := filepath.Join(os.Getenv(dir), fmt.Sprint(r.Rank))
		if err := os.WriteFile(name, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		return
	}
	if os.Getenv(launcher) != "" {
		_ = Launch(t.Context(), 2, GracePeriod, "-test.run", "^"+t.Name()+"$")
		return
	}
	pids := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.StartProcess(program, []string{program, "-test.run", "^" + t.Name() + "$"}, &os.ProcAttr{
		Env: append(os.Environ(), launcher+"=1", dir+"="+pids),
	})
	if err != nil {
		t.Fatal(err)
	}
	var running []int
	await(t, "two ranks", func() bool {
		running = nil
		for rank := range 2 {
			var pid int
			data, _ := os.ReadFile(filepath.Join(pids, fmt.Sprint(rank)))
			if _, err := fmt.Sscan(string(data), &pid); err == nil {
				running = append(running, pid)
			}
		}
		return len(running) == 2
	})
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Wait(); err != nil {
		t.Fatal(err)
	}
	await(t, "the death of the ranks", func() bool {
		return !slices.ContainsFunc(running, func(pid int) bool { return syscall.Kill(pid, 0) == nil && !zombie(pid) })
	})
}

// zombie reports whether a process is dead but not reaped yet.
func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(data), ") Z ")
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

func TestFromEnv(t *testing.T) {
	set := func(values ...string) {
		for _, name := range []string{envRank, envWorldSize, envLocalRank, envLocalWorldSize, envHost, envPort, envListener} {
			t.Setenv(name, "")
		}
		for _, value := range values {
			name, value, _ := strings.Cut(value, "=")
			t.Setenv(name, value)
		}
	}
	set()
	if r, isRank, err := FromEnv(); isRank || err != nil {
		t.Errorf("an empty environment gives %+v, %v", r, err)
	}
	set("RANK=3", "WORLD_SIZE=4", "MASTER_ADDR=trainer-0.trainer", "MASTER_PORT=29500")
	r, isRank, err := FromEnv()
	if want := (RankInfo{Rank: 3, WorldSize: 4, LocalWorldSize: 1, Host: "trainer-0.trainer", Port: 29500, listener: -1}); r != want || !isRank || err != nil {
		t.Errorf("got %+v, %v, %v, want %+v", r, isRank, err, want)
	}
	if r.Cores() != 0 {
		t.Errorf("the only rank of a machine has %d cores, want 0 for all cores", r.Cores())
	}
	if r.LocalWorldSize = 2; r.Cores() != max(1, runtime.NumCPU()/2) {
		t.Errorf("one of two local ranks has %d of %d cores", r.Cores(), runtime.NumCPU())
	}
	for _, c := range []struct {
		set  []string
		want string
	}{
		{[]string{"RANK=4", "WORLD_SIZE=4", "MASTER_ADDR=a", "MASTER_PORT=1"}, `RANK is "4", want a number from 0 to 3`},
		{[]string{"RANK=0", "MASTER_ADDR=a", "MASTER_PORT=1"}, `WORLD_SIZE is ""`},
		{[]string{"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=a", "MASTER_PORT=http"}, `MASTER_PORT is "http"`},
		{[]string{"RANK=0", "WORLD_SIZE=2", "MASTER_PORT=1"}, "MASTER_ADDR is not set"},
		{[]string{"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=a", "MASTER_PORT=1", "LOCAL_RANK=2", "LOCAL_WORLD_SIZE=2"}, `LOCAL_RANK is "2"`},
	} {
		set(c.set...)
		if _, _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want one with %q", c.set, err, c.want)
		}
	}
}

func TestVisibleGPUs(t *testing.T) {
	for _, c := range []struct {
		now         string
		rank, ranks int
		want        string
	}{
		{"", 1, 2, "1"}, {"4,6", 1, 2, "6"}, {"GPU-a,GPU-b", 0, 2, "GPU-a"}, {"5", 1, 2, "5"},
	} {
		r := RankInfo{LocalRank: c.rank, LocalWorldSize: c.ranks}
		if got := r.visibleGPUs(c.now); got != c.want {
			t.Errorf("CUDA_VISIBLE_DEVICES=%q: rank %d of %d sees %q, want %q", c.now, c.rank, c.ranks, got, c.want)
		}
	}
}
