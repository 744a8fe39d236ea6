package sessions

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// UserError says that Redis holds data of a user that no Store wrote. A retry fails in the
// same way; other users are not affected.
type UserError struct {
	User string
	Err  error
}

func (e *UserError) Error() string { return fmt.Sprintf("user %q: %v", e.User, e.Err) }

// Unwrap returns what is wrong.
func (e *UserError) Unwrap() error { return e.Err }

// UserErrors are all of a batch, in its order; there is at least one. To errors.As it is
// also the first *UserError.
type UserErrors []*UserError

func (e UserErrors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	return fmt.Sprintf("%d users, the first of them %v", len(e), e[0])
}

// Unwrap returns them one by one.
func (e UserErrors) Unwrap() []error {
	all := make([]error, len(e))
	for i, each := range e {
		all[i] = each
	}
	return all
}

// orNil returns an error only if there is one.
func (e UserErrors) orNil(what string) error {
	if len(e) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", what, e)
}

// ofUser returns a UserError if Redis says that it is about what a key holds, and nil for
// any other error.
func ofUser(user string, err error) *UserError {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return nil
	}
	// The last two are Lua's about a script that takes for a number what is none.
	for _, said := range []string{"WRONGTYPE", "attempt to ", "bad argument"} {
		if strings.Contains(answer.Error(), said) {
			return &UserError{User: user, Err: err}
		}
	}
	return nil
}
