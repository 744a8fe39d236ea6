package sessions

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// UserError means that a user's data in Redis is unreadable: no Store wrote it. A retry fails in
// the same way; other users are not affected.
type UserError struct {
	User string // ID of the user
	Err  error  // the cause
}

func (e *UserError) Error() string { return fmt.Sprintf("user %q: %v", e.User, e.Err) }

// Unwrap returns the cause.
func (e *UserError) Unwrap() error { return e.Err }

// UserErrors are all UserErrors of a batch, in its order; never empty. errors.As also finds the
// first *UserError in it.
type UserErrors []*UserError

func (e UserErrors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	return fmt.Sprintf("%d users, first %v", len(e), e[0])
}

// Unwrap returns the single errors.
func (e UserErrors) Unwrap() []error {
	all := make([]error, len(e))
	for i, each := range e {
		all[i] = each
	}
	return all
}

// orNil returns nil if there are no errors.
func (e UserErrors) orNil(action string) error {
	if len(e) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", action, e)
}

// asUserError returns a UserError if Redis reports that the value of a key is the cause, and nil
// for any other error.
func asUserError(user string, err error) *UserError {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return nil
	}
	// Lua reports the last two if a script does arithmetic on something that is not a number.
	for _, text := range []string{"WRONGTYPE", "attempt to ", "bad argument"} {
		if strings.Contains(reply.Error(), text) {
			return &UserError{User: user, Err: err}
		}
	}
	return nil
}
