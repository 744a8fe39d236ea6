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

func TestReadSaysWhatIsWrong(t *testing.T) {
	for want, content := range map[string]string{
		`line 2: user "2" has no items`:   "1 5\n2\n",
		`line 3: user "1" has line 1`:     "1 5\n2 5\n1 6\n",
		"no lines":                        "\n",
		"line 1: bufio.Scanner: token to": strings.Repeat("x", maxLine+1),
	} {
		if _, err := Read(write(t, content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := Read("missing.txt"); err == nil || !strings.Contains(err.Error(), "missing.txt") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestPermuteKeepsAllButTheNames(t *testing.T) {
	users := []User{{"1", []string{"1", "2", "3"}}, {"2", []string{"4", "2"}}, {"3", []string{"5", "6", "1", "5"}}}
	permuted := Permute(users)
	if equal(permuted, users) {
		t.Error("nothing was permuted")
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
			if old, met := there[item]; met && old != name {
				t.Errorf("item %s became both %s and %s", item, old, name)
			}
			if old, met := back[name]; met && old != item {
				t.Errorf("items %s and %s both became %s", item, old, name)
			}
			there[item], back[name] = name, item
		}
	}
}
