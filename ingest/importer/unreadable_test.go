package importer

import (
	"context"
	"errors"
	"slices"
	"testing"

	"genrec/sessions"
)

// unreadable is a Sessions in which the sequences of some users are unreadable.
type unreadable struct {
	Sessions
	users []string
}

func (u unreadable) Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error) {
	var failed sessions.UserErrors
	batch = slices.DeleteFunc(slices.Clone(batch), func(b sessions.UserEvents) bool {
		bad := slices.Contains(u.users, b.User)
		if bad {
			failed = append(failed, &sessions.UserError{User: b.User, Err: errors.New("corrupt")})
		}
		return bad
	})
	appended, err := u.Sessions.Append(ctx, batch)
	if err == nil && len(failed) > 0 {
		err = failed
	}
	return appended, err
}

// Rows of users with an unreadable sequence are rejected, and all others imported.
func TestUnreadableSequencesAreRejected(t *testing.T) {
	h := newHarness()
	path := write(t, "events.csv", []byte("user_id,item_id,timestamp\n"+
		"ann,hat,2026-01-01T00:00:01Z\n"+
		"bob,hat,2026-01-01T00:00:02Z\n"+
		"ann,coat,2026-01-01T00:00:03Z\n"+
		"cid,hat,2026-01-01T00:00:04Z\n"))
	archive := h.withHistory(t, t.TempDir(), nil)
	result, err := Run(t.Context(), h.Config, unreadable{h.memory, []string{"ann"}}, []string{path})
	if err != nil || result.Rows != 4 || result.Appended != 2 || result.Duplicates != 0 || result.Rejected != 2 || result.HistoryEvents != 2 || result.Users != 2 {
		t.Fatalf("got %+v, error %v; want 2 of 4 rows appended, in the history and refreshed, and 2 rejected", result, err)
	}
	for i, line := range []int64{2, 4} {
		if r := h.rejected[i]; r.Line != line || r.Reason != ReasonBadSequence || r.File != path || len(r.Value) == 0 || r.Detail != `user "ann": corrupt` {
			t.Errorf("rejected %+v, want line %d of ann", r, line)
		}
	}
	if len(h.events["bob"]) != 1 || len(h.events["cid"]) != 1 || len(h.events["ann"]) != 0 || slices.Contains(h.refreshed, "ann") {
		t.Errorf("the sequences are %v and %q refreshed, want bob and cid", h.events, h.refreshed)
	}
	if _, users := inHistory(t, archive); len(users) != 2 || users["ann"] != 0 {
		t.Errorf("the history has events of %v, want bob and cid", users)
	}
}
