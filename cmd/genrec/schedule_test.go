package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/registry"
	"genrec/sessions"
)

// While another process trains in the folder of the models, each training fails; when it is
// done, the next one comes, and more after it.
func TestScheduleOutlivesTrainingsThatFail(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var users []sessions.UserEvents
	for u := range 30 {
		one := sessions.UserEvents{User: fmt.Sprint("user-", u)}
		for i := range 5 {
			one.Events = append(one.Events, event.Event{
				ID: fmt.Sprint(u, "-", i), Item: fmt.Sprint(1 + (u+i)%12), Type: event.DefaultType, Time: time.UnixMilli(1_750_000_000_000 + int64(i)),
			})
		}
		users = append(users, one)
	}
	if _, err := store.Append(t.Context(), users); err != nil {
		t.Fatal(err)
	}
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
			"genrec", "retrain", "--metrics", metrics, "--schedule", "@every 1s", "--redis", servers.RedisAddr(),
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
		t.Errorf("a stop ends in %v, want no error", err)
	}
}

// lockFolder does what a training of another process does.
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
