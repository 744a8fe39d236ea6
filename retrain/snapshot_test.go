package retrain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"genrec/model/catalog"
	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/pkg/registry"
	"genrec/pkg/userstate"
	"genrec/retrain/snapshot"
	"genrec/sessions"
)

// hot are sequences as Redis has them.
type hot []sessions.Sequence

func (h hot) Walk(_ context.Context, each func(sessions.Sequence) error) (skipped int64, err error) {
	for _, sequence := range h {
		if err := each(sequence); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// partly is a Redis with two more users, whose sequences are unreadable.
type partly struct{ hot }

func (p partly) Walk(ctx context.Context, each func(sessions.Sequence) error) (skipped int64, err error) {
	_, err = p.hot.Walk(ctx, each)
	return 2, err
}

var anHourAgo = time.Now().Add(-time.Hour).UTC().Truncate(time.Second)

func inRedis(sequences []catalog.Sequence) (h hot) {
	for _, s := range sequences {
		one := sessions.Sequence{User: s.User}
		for n, item := range s.Items {
			one.Interactions = append(one.Interactions, userstate.Interaction{
				EventID: fmt.Sprint(s.User, n), Item: item, Type: event.DefaultType, Time: anHourAgo.Add(time.Duration(n) * time.Second),
			})
		}
		h = append(h, one)
	}
	return h
}

// collect takes a snapshot of sequences that are in Redis.
func collect(t *testing.T, sequences []catalog.Sequence, models *registry.Registry) (*snapshot.Snapshot, []catalog.Sequence) {
	t.Helper()
	taken, read, err := Collect(t.Context(), snapshot.Config{Hot: inRedis(sequences)}, models)
	if err != nil {
		t.Fatal(err)
	}
	return taken, read
}

func TestCollect(t *testing.T) {
	want := ring(50)
	taken, got := collect(t, want, openRegistry(t))
	slices.SortFunc(got, func(a, b catalog.Sequence) int { return strings.Compare(a.User, b.User) })
	if fingerprint(got) != fingerprint(want) || taken.Users != 50 {
		t.Errorf("collected are %d sequences, want the 50 in Redis", len(got))
	}
	if newest := anHourAgo.Add(4 * time.Second); !got[0].Newest.Equal(newest) {
		t.Errorf("the newest event is of %v, want %v", got[0].Newest, newest)
	}
	if _, _, err := Collect(t.Context(), snapshot.Config{Hot: hot{}}, openRegistry(t)); !errors.Is(err, ErrNoData) {
		t.Errorf("no sequences: error %v, want ErrNoData", err)
	}
}

// A training learns from more than what is left in Redis, and from nobody who was
// forgotten: a version that names its users does not name them.
func TestHistoryIsTrainedOnWithoutForgottenUsers(t *testing.T) {
	archive, err := history.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	old := ring(90)
	draft, err := archive.NewSegment(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range inRedis(old) {
		for _, i := range s.Interactions {
			if err := draft.Add(event.Event{ID: i.EventID, User: s.User, Item: i.Item, Type: i.Type, Time: i.Time}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := draft.Publish(); err != nil {
		t.Fatal(err)
	}
	recent := inRedis([]catalog.Sequence{{User: "newcomer", Items: []string{"item-01", "item-02", "item-03", "item-04"}}})
	forgotten := erasures{old[3].User: time.Now()}
	models, c := openRegistry(t), quick()
	c.UnknownUser = 0 // so that the version names its users
	from := snapshot.Config{History: archive, Hot: partly{recent}, Erasures: forgotten}
	taken, sequences, err := Collect(t.Context(), from, models)
	if err != nil {
		t.Fatal(err)
	}
	c.Snapshot, c.Erasures = taken, erasures{}
	report, err := Run(t.Context(), c, sequences, models)
	if err != nil {
		t.Fatal(err)
	}
	if report.Users != 90 || report.Interactions != 89*5+4 || report.SkippedUsers != 2 {
		t.Errorf("trained on %d users and %d interactions without %d users, want 90, %d and 2", report.Users, report.Interactions, report.SkippedUsers, 89*5+4)
	}
	version := models.Dir(report.Version)
	if found := filesWith(t, version, old[4].User); len(found) == 0 {
		t.Fatal("no file of the version names a user: the search is blind")
	}
	for _, folder := range []string{version, taken.Dir} {
		if found := filesWith(t, folder, old[3].User); len(found) > 0 {
			t.Errorf("the forgotten user is still in %v", found)
		}
	}
	if _, err := os.Stat(taken.Dir); err != nil {
		t.Errorf("a finished run must leave the history's snapshot alone: %v", err)
	}
}

func filesWith(t *testing.T, folder, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), text) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
