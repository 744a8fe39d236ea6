package retrain

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"genrec/pkg/registry"
)

// erasures are times by user.
type erasures map[string]time.Time

func (e erasures) Erasures(_ context.Context, users []string) ([]time.Time, error) {
	erased := make([]time.Time, len(users))
	for i, user := range users {
		erased[i] = e[user]
	}
	return erased, nil
}

func TestForgottenUsersAreInNoModel(t *testing.T) {
	models := openRegistry(t)
	taken, sequences := collect(t, ring(90), models)
	theirs := erasures{"nobody": time.Now()}
	c := quick()
	c.Erasures, c.Snapshot = theirs, taken
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := c
	stopped.Progress = &stopper{stage: "finetune", at: 1, cancel: cancel}
	if _, err := Run(ctx, stopped, sequences, models); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}

	theirs[sequences[3].User] = taken.Watermark.Add(-time.Hour) // who has come back since
	_, found, err := Interrupted(t.Context(), c, models)
	if err != nil || len(found) != len(sequences) {
		t.Fatalf("found a snapshot of %d users (error %v), want %d: nobody of it was forgotten since", len(found), err, len(sequences))
	}
	theirs[sequences[3].User] = time.Now()
	if found, _, err := Interrupted(t.Context(), c, models); err != nil || found != nil {
		t.Errorf("a snapshot with a forgotten user would go on (error %v)", err)
	}

	if _, err := Run(t.Context(), c, sequences, models); !errors.Is(err, ErrForgotten) {
		t.Errorf("error %v, want ErrForgotten", err)
	}
	if version, err := models.Current(t.Context()); !errors.Is(err, registry.ErrNoVersion) {
		t.Errorf("version %q was published (error %v)", version, err)
	}
	if _, err := os.Stat(taken.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the snapshot with the forgotten user is still there (error %v)", err)
	}
	c.Snapshot = nil
	if _, err := Run(t.Context(), c, append(sequences[:3:3], sequences[4:]...), models); err != nil {
		t.Errorf("a run without the user ends with %v", err)
	}
}
