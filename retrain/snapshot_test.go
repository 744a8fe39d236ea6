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

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/pkg/registry"
	"genrec/pkg/userstate"
	"genrec/retrain/snapshot"
	"genrec/sessions"
)

// hot has the sequences in Redis.
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

// collect builds a snapshot of sequences in Redis.
func collect(t *testing.T, sequences []catalog.Sequence, models *registry.Registry) (*snapshot.Snapshot, []catalog.Sequence) {
	t.Helper()
	taken, read, err := Collect(t.Context(), snapshot.Config{Sequences: inRedis(sequences)}, models)
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
	if _, _, err := Collect(t.Context(), snapshot.Config{Sequences: hot{}}, openRegistry(t)); !errors.Is(err, ErrNoData) {
		t.Errorf("no sequences: error %v, want ErrNoData", err)
	}
}

// A training uses the history beyond Redis, but no erased users: a version that contains user ids
// does not contain theirs.
func TestHistoryIsTrainedOnWithoutErasedUsers(t *testing.T) {
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
	from := snapshot.Config{History: archive, Sequences: partly{recent}, Erasures: forgotten}
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
		t.Fatal("no file of the version names a user: the test is not effective")
	}
	for _, folder := range []string{version, taken.Dir} {
		if found := filesWith(t, folder, old[3].User); len(found) > 0 {
			t.Errorf("the erased user is still in %v", found)
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

// TestTooLittleData checks that nothing is published and the current version keeps serving.
func TestTooLittleData(t *testing.T) {
	users := func(histories ...[]string) (all []catalog.Sequence) {
		for i := range 200 {
			s := catalog.Sequence{User: "user-" + string(rune('A'+i/20)) + string(rune('a'+i%20)), Items: histories[i%len(histories)]}
			all = append(all, s)
		}
		return all
	}
	models := openRegistry(t)
	serving, err := Run(t.Context(), quick(), ring(60), models)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		sequences []catalog.Sequence
		allowSeen bool
		want      string // empty: there is something to learn
	}{
		{"no users", nil, false, "no interactions"},
		{"one event each", users([]string{"a"}, []string{"b"}), false, "none of 200 users has 3 events"},
		{"two events each", users([]string{"a", "b"}, []string{"b", "c"}), false, "none of 200 users has 3 events"},
		{"one item each", users([]string{"a", "a", "a", "a"}, []string{"b", "b", "b"}), true, "none of 200 users has events of two different items"},
		{"one item before the last", users([]string{"a", "a", "b"}), false, "none of 200 users has events of two different items"},
		{"nothing new at the end", users([]string{"a", "b", "a"}, []string{"c", "d"}), false, "each of the 100 users with 3 events had it before"},
		{"seen items are allowed", users([]string{"a", "b", "a"}), true, ""},
		{"short and long sequences", users([]string{"a", "b"}, []string{"a", "a", "b"}), false, ""},
		{"three items", users([]string{"a", "b", "c"}), false, ""},
	} {
		err := checkData(c.sequences, c.allowSeen)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if c.want == "" {
			continue
		}
		config := quick()
		config.Ranker.AllowSeen = c.allowSeen
		if _, err := Run(t.Context(), config, c.sequences, models); !errors.Is(err, ErrNoData) {
			t.Errorf("%s: Run ends in %v, want ErrNoData", c.name, err)
		}
	}
	versions, err := models.Versions(t.Context())
	if current, now := models.Current(t.Context()); err != nil || now != nil || current != serving.Version || len(versions) != 1 {
		t.Errorf("of the versions %v (%v), %q serves (%v), want %q alone", versions, err, current, now, serving.Version)
	}
}

func TestEvaluationWithoutUsers(t *testing.T) {
	models := openRegistry(t)
	report, err := Run(t.Context(), quick(), ring(60), models)
	if err != nil {
		t.Fatal(err)
	}
	short := []catalog.Sequence{{User: "a", Items: []string{"item-01", "item-02"}}}
	_, err = EvaluateStored(t.Context(), models.Dir(report.Version), model.CPU, quick().Ranker, short, 0, 1, nil)
	if err == nil || !strings.Contains(err.Error(), "none of 1 users has 3 items") {
		t.Errorf("error %v, want one that says so", err)
	}
}

// erasures are times by user.
type erasures map[string]time.Time

func (e erasures) Erasures(_ context.Context, users []string) ([]time.Time, error) {
	erased := make([]time.Time, len(users))
	for i, user := range users {
		erased[i] = e[user]
	}
	return erased, nil
}

func TestErasedUsersAreInNoModel(t *testing.T) {
	models := openRegistry(t)
	taken, sequences := collect(t, ring(90), models)
	theirs := erasures{"nobody": time.Now()}
	c := quick()
	c.Erasures, c.Snapshot = theirs, taken
	stopRun(t, c, sequences, models, "finetune", 1)

	theirs[sequences[3].User] = taken.Watermark.Add(-time.Hour) // erased, and active again, before the snapshot
	_, found, err := Interrupted(t.Context(), c, models)
	if err != nil || len(found) != len(sequences) {
		t.Fatalf("found a snapshot of %d users (error %v), want %d: no user of it was erased since", len(found), err, len(sequences))
	}
	theirs[sequences[3].User] = time.Now()
	if found, _, err := Interrupted(t.Context(), c, models); err != nil || found != nil {
		t.Errorf("a snapshot with an erased user would be used (error %v)", err)
	}

	if _, err := Run(t.Context(), c, sequences, models); !errors.Is(err, ErrErased) {
		t.Errorf("error %v, want ErrErased", err)
	}
	if version, err := models.Current(t.Context()); !errors.Is(err, registry.ErrNoVersion) {
		t.Errorf("version %q was published (error %v)", version, err)
	}
	if _, err := os.Stat(taken.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the snapshot with the erased user still exists (error %v)", err)
	}
	c.Snapshot = nil
	if _, err := Run(t.Context(), c, append(sequences[:3:3], sequences[4:]...), models); err != nil {
		t.Errorf("a run without the user ends with %v", err)
	}
}
