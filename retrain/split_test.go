package retrain

import (
	"fmt"
	"testing"

	"genrec/model/catalog"
)

func TestValidationUsers(t *testing.T) {
	for _, c := range []struct {
		name                         string
		users, length, atMost, wants int
	}{
		{"a tenth of the users", 200, 5, 2000, 20},
		{"as many as hundreds of interactions", 50, 40, 2000, 20},
		{"all users, not more", 20, 150, 2000, 20},
		{"the recipe's limit", 200, 5, 7, 7},
		{"none of those too short to learn from", 200, 3, 2000, 0},
		{"none asked for", 200, 5, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sequences := make([]catalog.Sequence, c.users)
			for u := range sequences {
				sequences[u].User = fmt.Sprint("u", u)
				for i := range c.length {
					sequences[u].Items = append(sequences[u].Items, fmt.Sprint("i", (u+i)%200))
				}
			}
			numbers, err := catalog.Build(sequences, catalog.Options{Text: catalog.Numbered})
			if err != nil {
				t.Fatal(err)
			}
			config := quick()
			config.ValidationUsers = c.atMost
			p := split(sequences, numbers, holdOut(sequences, config.ValidationUsers, numbers.Interactions(), 1))
			if len(p.validation) != c.wants {
				t.Errorf("%d users are validated on, want %d", len(p.validation), c.wants)
			}
			if len(p.histories) != c.users {
				t.Errorf("%d users are trained on, want all %d", len(p.histories), c.users)
			}
			kept := 0
			for _, h := range p.histories {
				kept += len(h.Items)
			}
			if want := c.users*c.length - c.wants; kept != want {
				t.Errorf("%d interactions are trained on, want %d: all but one of each validated user", kept, want)
			}
		})
	}
}
