package sessions

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// UserError says that Redis holds of a user what no Store wrote. Another attempt meets it
// again, and other users do not.
type UserError struct {
	User string
	Err  error
}

func (e *UserError) Error() string { return fmt.Sprintf("user %q: %v", e.User, e.Err) }

// Unwrap returns what is wrong.
func (e *UserError) Unwrap() error { return e.Err }

// ofUser makes a UserError of an answer of Redis that is about what a key holds; others
// are about Redis.
func ofUser(user string, err error) error {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return err
	}
	// The last two are Lua's about a script that takes for a number what is none.
	for _, said := range []string{"WRONGTYPE", "attempt to ", "bad argument"} {
		if strings.Contains(answer.Error(), said) {
			return &UserError{User: user, Err: err}
		}
	}
	return err
}
