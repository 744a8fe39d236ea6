package sessions

import (
	"errors"
	"log/slog"
	"testing"
	"time"
)

func TestOtherFormatsAreLeftAlone(t *testing.T) {
	rdb := newClient(t)
	store := open(t, rdb, Options{})
	if n := rdb.Exists(t.Context(), store.formatKey()).Val(); n != 0 {
		t.Fatal("a store that was only opened has noted its format")
	}
	for range 2 {
		if err := store.Claim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), rdb, store.opts); err != nil {
		t.Errorf("its own format: %v", err)
	}
	rdb.Set(t.Context(), store.formatKey(), Format+1, 0)
	if _, err := Open(t.Context(), rdb, store.opts); !errors.Is(err, ErrFormat) {
		t.Errorf("the error of opening what a later program wrote is %v, want ErrFormat", err)
	}
	if err := store.Claim(t.Context()); !errors.Is(err, ErrFormat) {
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
	if format := rdb.Get(t.Context(), store.formatKey()).Val(); format != "1" {
		t.Errorf("the format is noted as %q, want 1: count it up when what is written changes", format)
	}
}
