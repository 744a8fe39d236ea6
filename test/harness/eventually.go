package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Eventually calls try every half second until it succeeds, or until patience has passed: then it
// returns the last error.
func Eventually(ctx context.Context, what string, patience time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s: not within %v", what, patience))
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}
