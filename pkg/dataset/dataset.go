// Package dataset reads public recommendation datasets in their usual text format: one user per line,
// `user item item ...`, with the items in chronological order.
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
	// ID is the user's id.
	ID string
	// Items are the ids of the user's items, oldest first.
	Items []string
}

const maxLine = 16 << 20 // bytes

// Read reads a file and rejects duplicate users and users without items.
func Read(path string) ([]User, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open dataset: %w", err)
	}
	defer file.Close()
	var users []User
	firstLine := make(map[string]int) // of each user
	lines := textfile.NewScanner(file, maxLine)
	for lines.Scan() {
		fields, number := strings.Fields(lines.Text()), lines.Line()
		user := User{fields[0], fields[1:]}
		if len(user.Items) == 0 {
			return nil, fmt.Errorf("read dataset %s, line %d: user %q has no items; want `user item item ...`", path, number, user.ID)
		}
		if before, duplicate := firstLine[user.ID]; duplicate {
			return nil, fmt.Errorf("read dataset %s, line %d: user %q is also on line %d, want one line per user", path, number, user.ID, before)
		}
		firstLine[user.ID] = number
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

// permutationSeed is fixed, so that results on permuted files are comparable.
const permutationSeed = 20240731

// Permute permutes the ids of the users, and those of the items, at random. The public files number
// items in the order of their first appearance, which leaks the next item to a model that reads ids.
func Permute(users []User) []User {
	rng := rand.New(rand.NewPCG(permutationSeed, 0))
	userIDs, itemIDs := make(map[string]string), make(map[string]string)
	for _, u := range users {
		userIDs[u.ID] = ""
		for _, item := range u.Items {
			itemIDs[item] = ""
		}
	}
	permuteIDs(userIDs, rng)
	permuteIDs(itemIDs, rng)
	permuted := make([]User, len(users))
	for i, u := range users {
		permuted[i].ID = userIDs[u.ID]
		for _, item := range u.Items {
			permuted[i].Items = append(permuted[i].Items, itemIDs[item])
		}
	}
	return permuted
}

// permuteIDs maps each key to another key.
func permuteIDs(ids map[string]string, rng *rand.Rand) {
	from := slices.Sorted(maps.Keys(ids))
	to := slices.Clone(from)
	rng.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
	for i, id := range from {
		ids[id] = to[i]
	}
}
