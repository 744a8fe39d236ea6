package stream

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"genrec/pkg/dataset"
)

func testUsers(n int) (users []dataset.User) {
	for i := range n {
		users = append(users, dataset.User{ID: fmt.Sprint(i + 1), Items: []string{"1", "2"}})
	}
	return users
}

func TestWorkload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.txt")
	if err := os.WriteFile(path, []byte("1 10 11\n2 12\n3 10 13 14\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const users = 10
	w, err := newWorkload(settings{data: path, ids: "published", users: users})
	if err != nil {
		t.Fatal(err)
	}
	ids, events := make(map[string]int), make(map[string]bool)
	for range 3 * users {
		e, user := w.next(time.Now())
		if e.User != w.users[user].ID {
			t.Fatalf("the event is of user %s, want number %d, %s", e.User, user, w.users[user].ID)
		}
		ids[e.User]++
		events[e.ID] = true
	}
	if len(ids) != users || len(events) != 3*users {
		t.Errorf("%d events of %d users, want %d of %d", len(events), len(ids), 3*users, users)
	}
	for id, n := range ids {
		if n != 3 {
			t.Errorf("user %s has %d events, want 3", id, n)
		}
	}
	copied := filepath.Join(t.TempDir(), "copied.txt")
	if err := w.writeDataset(copied); err != nil {
		t.Fatal(err)
	}
	if read, err := dataset.Read(copied); err != nil || len(read) != users {
		t.Errorf("read %d users (error %v), want %d", len(read), err, users)
	}
}
