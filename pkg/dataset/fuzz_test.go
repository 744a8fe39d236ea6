package dataset

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzRead(f *testing.F) {
	f.Add([]byte("1 2 3\n\n4 5\n"))
	f.Add([]byte("1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "data.txt")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		users, err := Read(path)
		if err != nil {
			return
		}
		met := make(map[string]bool)
		for _, u := range users {
			if u.ID == "" || len(u.Items) == 0 || met[u.ID] {
				t.Fatalf("read the user %+v", u)
			}
			met[u.ID] = true
		}
		if got := Permute(users); len(got) != len(users) {
			t.Fatalf("%d of %d users are left when permuted", len(got), len(users))
		}
	})
}
