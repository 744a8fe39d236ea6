package dataset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.txt")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func equal(a, b []User) bool {
	return slices.EqualFunc(a, b, func(a, b User) bool { return a.ID == b.ID && slices.Equal(a.Items, b.Items) })
}

func TestRead(t *testing.T) {
	got, err := Read(write(t, "\ufeff1 5 6 5\n\n2  7\r\n"))
	want := []User{{"1", []string{"5", "6", "5"}}, {"2", []string{"7"}}}
	if err != nil || !equal(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

func TestReadRejectsInvalidFiles(t *testing.T) {
	for want, content := range map[string]string{
		`line 2: user "2" has no items`:      "1 5\n2\n",
		`line 3: user "1" is also on line 1`: "1 5\n2 5\n1 6\n",
		"no lines":                           "\n",
		"line 1: bufio.Scanner: token to":    strings.Repeat("x", maxLine+1),
	} {
		if _, err := Read(write(t, content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := Read("missing.txt"); err == nil || !strings.Contains(err.Error(), "missing.txt") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestPermuteRenamesConsistently(t *testing.T) {
	users := []User{{"1", []string{"1", "2", "3"}}, {"2", []string{"4", "2"}}, {"3", []string{"5", "6", "1", "5"}}}
	permuted := Permute(users)
	if equal(permuted, users) {
		t.Error("the ids are unchanged")
	}
	if !equal(permuted, Permute(users)) {
		t.Error("two permutations of one file differ")
	}
	there, back := make(map[string]string), make(map[string]string)
	for i, u := range users {
		if len(permuted[i].Items) != len(u.Items) {
			t.Fatalf("user %d has %d items, want %d", i, len(permuted[i].Items), len(u.Items))
		}
		for j, item := range u.Items {
			name := permuted[i].Items[j]
			if old, mapped := there[item]; mapped && old != name {
				t.Errorf("item %s is mapped to both %s and %s", item, old, name)
			}
			if old, mapped := back[name]; mapped && old != item {
				t.Errorf("items %s and %s are both mapped to %s", item, old, name)
			}
			there[item], back[name] = name, item
		}
	}
}

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
		seen := make(map[string]bool)
		for _, u := range users {
			if u.ID == "" || len(u.Items) == 0 || seen[u.ID] {
				t.Fatalf("read the user %+v", u)
			}
			seen[u.ID] = true
		}
		if got := Permute(users); len(got) != len(users) {
			t.Fatalf("the permutation has %d of %d users", len(got), len(users))
		}
	})
}
