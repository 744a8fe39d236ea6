// Package dataset reads the files of the public recommendation datasets: one user
// a line, `user item item ...`, items in chronological order.
package dataset

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"genrec/pkg/textfile"
)

// User is a line of the file.
type User struct {
	ID    string
	Items []string
}

const maxLine = 16 << 20

// Read reads a file of distinct users.
func Read(path string) ([]User, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open dataset: %w", err)
	}
	defer file.Close()
	var users []User
	met := make(map[string]int)
	lines := textfile.NewScanner(file, maxLine)
	for lines.Scan() {
		fields, number := strings.Fields(lines.Text()), lines.Line()
		user := User{fields[0], fields[1:]}
		if len(user.Items) == 0 {
			return nil, fmt.Errorf("read dataset %s, line %d: user %q has no items; want `user item item ...`", path, number, user.ID)
		}
		if before, again := met[user.ID]; again {
			return nil, fmt.Errorf("read dataset %s, line %d: user %q has line %d already; want one line a user", path, number, user.ID, before)
		}
		met[user.ID] = number
		users = append(users, user)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read dataset %s, %w", path, err)
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("read dataset %s: %w", path, errors.New("no lines"))
	}
	return users, nil
}

// permutation seeds Permute, so that everybody's permuted files are the same.
const permutation = 20240731

// Permute hands out the users' ids anew among the users and the items' ids among the
// items, in an order that says nothing. The public files number items in the order of
// their first appearance, from which a model that reads ids can tell what comes next.
func Permute(users []User) []User {
	rng := rand.New(rand.NewPCG(permutation, 0))
	userIDs, itemIDs := make(map[string]string), make(map[string]string)
	for _, u := range users {
		userIDs[u.ID] = ""
		for _, item := range u.Items {
			itemIDs[item] = ""
		}
	}
	shuffle(userIDs, rng)
	shuffle(itemIDs, rng)
	permuted := make([]User, len(users))
	for i, u := range users {
		permuted[i].ID = userIDs[u.ID]
		for _, item := range u.Items {
			permuted[i].Items = append(permuted[i].Items, itemIDs[item])
		}
	}
	return permuted
}

func shuffle(ids map[string]string, rng *rand.Rand) {
	from := slices.Sorted(maps.Keys(ids))
	to := slices.Clone(from)
	rng.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
	for i, id := range from {
		ids[id] = to[i]
	}
}
