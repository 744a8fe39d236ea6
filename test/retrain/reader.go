package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"genrec/sessions"
)

// reader asks for recommendations all the time, as a shop does.
type reader struct {
	store  *sessions.Store
	random *rand.Rand
	users  []string
	asked  atomic.Int64
	failed atomic.Int64
}

// read asks until ctx ends. Everybody has a list, of the fallback if not their own, as soon
// as there is a model.
func (r *reader) read(ctx context.Context) {
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		user := r.users[r.random.IntN(len(r.users))]
		found, err := r.store.List(ctx, user)
		if ctx.Err() != nil {
			return
		}
		r.asked.Add(1)
		if err != nil || len(found.Items) == 0 || found.ModelVersion == "" {
			r.failed.Add(1)
			slog.Error("a reader got nothing", "user", user, "items", len(found.Items), "version", found.ModelVersion, "cause", err)
		}
	}
}
