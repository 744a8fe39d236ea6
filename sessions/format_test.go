package sessions

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"genrec/pkg/userstate"
)

func TestOtherFormatsAreLeftAlone(t *testing.T) {
	rdb := newClient(t)
	store := open(t, rdb, Options{})
	if n := rdb.Exists(t.Context(), store.keys.Format()).Val(); n != 0 {
		t.Fatal("a store that was only opened has noted its format")
	}
	for range 2 {
		if err := store.ClaimFormat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), rdb, store.opts); err != nil {
		t.Errorf("its own format: %v", err)
	}
	rdb.Set(t.Context(), store.keys.Format(), userstate.Format+1, 0)
	if _, err := Open(t.Context(), rdb, store.opts); !errors.Is(err, ErrFormat) {
		t.Errorf("the error of opening what a later program wrote is %v, want ErrFormat", err)
	}
	if err := store.ClaimFormat(t.Context()); !errors.Is(err, ErrFormat) {
		t.Errorf("the error of a process that was there before is %v, want ErrFormat", err)
	}
	began := time.Now()
	if _, err := Await(t.Context(), slog.New(slog.DiscardHandler), rdb, store.opts); !errors.Is(err, ErrFormat) || time.Since(began) > 5*time.Second {
		t.Errorf("the error of waiting is %v after %v, want ErrFormat at once", err, time.Since(began))
	}
}

func TestServicesNoteTheFormat(t *testing.T) {
	rdb := newClient(t)
	store, err := Await(t.Context(), slog.New(slog.DiscardHandler), rdb, Options{Prefix: "services"})
	if err != nil {
		t.Fatal(err)
	}
	if format := rdb.Get(t.Context(), store.keys.Format()).Val(); format != "1" {
		t.Errorf("the format is noted as %q, want 1: count it up when what is written changes", format)
	}
}

// Redis may lose its data while nobody else is there who would note the format.
func TestFormatIsNotedAgain(t *testing.T) {
	store := newStore(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	keep := func() { ended <- store.KeepFormat(ctx, slog.New(slog.DiscardHandler), time.Millisecond) }
	go keep()
	for range 2 { // once at the beginning, and after a loss
		wait := time.Now().Add(10 * time.Second)
		for store.rdb.Exists(t.Context(), store.keys.Format()).Val() == 0 {
			if time.Now().After(wait) {
				t.Fatal("the format is not noted")
			}
			time.Sleep(time.Millisecond)
		}
		if err := store.rdb.Del(t.Context(), store.keys.Format()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the error at the end is %v, want none", err)
	}
	ctx = t.Context()
	if err := store.rdb.Set(ctx, store.keys.Format(), userstate.Format+1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	go keep()
	if err := <-ended; !errors.Is(err, ErrFormat) {
		t.Errorf("the error where a later program has written is %v, want ErrFormat", err)
	}
}
