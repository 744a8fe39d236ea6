package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/registry"
	"genrec/sessions"
)

// While another process trains in the models folder, each training fails; afterwards, the
// scheduled trainings succeed.
func TestScheduleSurvivesFailedTrainings(t *testing.T) {
	address := shopInRedis(t)
	dir, recipe := t.TempDir(), filepath.Join(t.TempDir(), "quick.json")
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	models, err := registry.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock := lockFolder(t, models.Workspace())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done, metrics := make(chan error, 1), freeAddress(t)
	go func() {
		done <- newApp().Run(ctx, []string{
			"genrec", "retrain", "--metrics", metrics, "--schedule", "@every 1s", "--redis", address,
			"--models", dir, "--recipe", recipe, "--device", "cpu",
		})
	}()
	select {
	case err := <-done:
		t.Fatalf("a training that fails ends the schedule: %v", err)
	case <-time.After(3 * time.Second):
	}
	made := func() int {
		versions, err := models.Versions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(versions)
	}
	if n := made(); n != 0 {
		t.Errorf("%d versions were made while another process was training", n)
	}
	unlock()
	for deadline := time.Now().Add(2 * time.Minute); made() < 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no two versions were made in two minutes after the other process was done")
		}
	}
	awaitMetric(t, "http://"+metrics, `genrec_retrain_runs_total{outcome="failed"} [1-9].*`) // while the other one trained
	awaitMetric(t, "http://"+metrics, `genrec_retrain_last_success_timestamp_seconds [1-9].*`)
	get(t, "http://"+metrics+"/readyz", http.StatusOK)
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with error %v, want none", err)
	}
}

// Each scheduled training starts its ranks, and continues from the version that they published.
func TestScheduleInTwoProcesses(t *testing.T) {
	dir, recipe, metrics := t.TempDir(), filepath.Join(t.TempDir(), "quick.json"), freeAddress(t)
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd, logs := program(t, "retrain", "--nproc", "2", "--schedule", "@every 1s", "--redis", shopInRedis(t), "--models", dir,
		"--recipe", recipe, "--device", "cpu", "--metrics", metrics)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "two trainings", func() bool { return strings.Count(logs(), `msg="trained a model version"`) >= 2 })
	for _, want := range []string{"rank 1: ", "version=v000001 serves=true", "version=v000002 serves="} {
		if !strings.Contains(logs(), want) {
			t.Errorf("the logs lack %q:\n%s", want, logs())
		}
	}
	awaitMetric(t, "http://"+metrics, `genrec_retrain_runs_total{outcome="promoted"} [1-9].*`)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped with error %v, want none\n%s", err, logs())
	}
}

// With too little data, scheduled trainings end without a version; the first one with enough
// data publishes one.
func TestScheduleWaitsForData(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	appendRing(t, store, 0, 1)
	dir, recipe := t.TempDir(), filepath.Join(t.TempDir(), "quick.json")
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	arguments := []string{"genrec", "retrain", "--redis", servers.RedisAddr(), "--models", dir, "--recipe", recipe, "--device", "cpu"}
	err = newApp().Run(t.Context(), arguments)
	if code := exitCode(err); code != 5 || !strings.Contains(err.Error(), "none of 30 users has 3 events") {
		t.Errorf("users with one event each: exit code %d, error %v", code, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done, metrics := make(chan error, 1), freeAddress(t)
	go func() { done <- newApp().Run(ctx, append(arguments, "--metrics", metrics, "--schedule", "@every 1s")) }()
	await(t, "the server of metrics", func() bool {
		conn, err := net.Dial("tcp", metrics)
		return err == nil && conn.Close() == nil
	})
	awaitMetric(t, "http://"+metrics, `genrec_retrain_runs_total{outcome="no_data"} ([2-9]|\d\d)`)
	models, err := registry.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if versions, err := models.Versions(t.Context()); err != nil || len(versions) != 0 {
		t.Errorf("the versions are %v (%v), want none", versions, err)
	}
	appendRing(t, store, 1, 5)
	awaitMetric(t, "http://"+metrics, `genrec_retrain_runs_total{outcome="promoted"} [1-9].*`)
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with error %v, want none", err)
	}
}

// shopInRedis starts servers with sequences to train on.
func shopInRedis(t *testing.T) (address string) {
	t.Helper()
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	appendRing(t, store, 0, 5)
	return servers.RedisAddr()
}

// appendRing appends, for 30 users, the events from first to last-1.
func appendRing(t *testing.T, store *sessions.Store, first, last int) {
	t.Helper()
	var users []sessions.UserEvents
	for u := range 30 {
		one := sessions.UserEvents{User: fmt.Sprint("user-", u)}
		for i := first; i < last; i++ {
			one.Events = append(one.Events, event.Event{
				ID: fmt.Sprint(u, "-", i), Item: fmt.Sprint(1 + (u+i)%12), Type: event.DefaultType, Time: time.UnixMilli(1_750_000_000_000 + int64(i)),
			})
		}
		users = append(users, one)
	}
	if _, err := store.Append(t.Context(), users); err != nil {
		t.Fatal(err)
	}
}

// lockFolder locks the models folder as a training in another process does.
func lockFolder(t *testing.T, dir string) (unlock func()) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	return func() { lock.Close() }
}

// A launcher that has started this process as a rank would have to start all ranks for each
// training.
func TestScheduleRejectsRanks(t *testing.T) {
	for _, set := range []string{"RANK=1", "WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=1"} {
		name, value, _ := strings.Cut(set, "=")
		t.Setenv(name, value)
	}
	err := newApp().Run(t.Context(), []string{"genrec", "retrain", "--schedule", "@daily", "--redis", "127.0.0.1:1"})
	if want := "--schedule is for one process, which starts others by --nproc"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
}
