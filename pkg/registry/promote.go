package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// ErrRefused is returned by Promote for a version that was published as refused.
var ErrRefused = errors.New("the version was refused")

// ErrSplit is returned by Promote while users are split among versions.
var ErrSplit = errors.New("users are split among versions")

// ErrNoPrevious is returned by Rollback if nothing was served before.
var ErrNoPrevious = errors.New("nothing was served before")

// Serving returns the versions that serve users, usually a single one, or ErrNoVersion.
func (r *Registry) Serving(ctx context.Context) ([]Share, error) {
	changes, err := r.Changes(ctx)
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("model registry %s: %w", r.location, ErrNoVersion)
	}
	return changes[0].Serving, nil
}

// Current returns the version with the largest share, the first of equal ones, or
// ErrNoVersion.
func (r *Registry) Current(ctx context.Context) (string, error) {
	shares, err := r.Serving(ctx)
	if err != nil {
		return "", err
	}
	return LargestShare(shares), nil
}

// Changes returns the changes of the serving state, newest first. They are bounded to some
// hundred changes.
func (r *Registry) Changes(ctx context.Context) ([]Change, error) {
	data, err := r.storage.readState(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var changes []Change
	if err == nil {
		changes, err = parseChanges(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", stateFile, r.location, err)
	}
	return changes, nil
}

// Promote makes one version serve all users. It neither promotes a refused version
// (ErrRefused) nor ends a split (ErrSplit); PromoteShares does both.
func (r *Registry) Promote(ctx context.Context, version string) error {
	m, err := r.Manifest(ctx, version)
	if err == nil && m.State == StateRefused {
		err = fmt.Errorf("%w: %s", ErrRefused, m.Reason)
	}
	if err == nil {
		err = r.promote(ctx, allUsers(version), func(changes []Change) error {
			if len(changes) > 0 && len(changes[0].Serving) > 1 {
				return fmt.Errorf("%w: %s", ErrSplit, FormatShares(changes[0].Serving))
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("promote version %q: %w", version, err)
	}
	return nil
}

// PromoteShares splits the users among versions. As an operator's explicit decision, it also
// accepts refused versions and replaces an earlier split.
func (r *Registry) PromoteShares(ctx context.Context, shares []Share) error {
	err := validateShares(shares)
	if err == nil {
		err = r.promote(ctx, shares, func([]Change) error { return nil })
	}
	if err != nil {
		return fmt.Errorf("promote %s: %w", FormatShares(shares), err)
	}
	return nil
}

// promote records a promotion if check permits it in the current state.
//
// Prune may remove a version at the same time. Therefore promote writes the state first, which
// later removals respect, then waits for removals that began earlier, and undoes the change if one
// of them removed a promoted version or ctx ends before that is known.
func (r *Registry) promote(ctx context.Context, shares []Share, check func([]Change) error) error {
	written, err := r.appendChange(ctx, func(changes []Change) (Change, error) {
		return Change{Kind: KindPromote, Serving: shares}, errors.Join(check(changes), r.checkExist(ctx, shares))
	})
	if err != nil {
		return err
	}
	if err := r.awaitRemovals(ctx, shares); err != nil {
		undoCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTimeout)
		defer cancel()
		if undoErr := r.undo(undoCtx, written); undoErr != nil {
			err = errors.Join(err, fmt.Errorf("undo: %w", undoErr))
		}
		return err
	}
	return nil
}

// undo reverts a promotion, which is the first of the written changes. If the state has changed
// since, the newer state stays, and the promotion is removed from the changes so that no rollback
// returns to it. A promotion that is followed by a rollback stays among them: the rollback
// left it, or returned to it.
func (r *Registry) undo(ctx context.Context, written []Change) error {
	return r.updateChanges(ctx, func(changes []Change) ([]Change, error) {
		at := indexOf(changes, written)
		if at == 0 {
			c, err := r.rollbackChange(ctx, changes)
			return prepend(c, changes), err
		}
		if at < 0 || slices.ContainsFunc(changes[:at], func(c Change) bool { return c.Kind == KindRollback }) {
			return changes, nil
		}
		return slices.Delete(changes, at, at+1), nil
	})
}

// awaitRemovals waits for removals in progress and returns an error if a version is gone.
func (r *Registry) awaitRemovals(ctx context.Context, shares []Share) error {
	for _, s := range shares {
		if err := r.storage.awaitRemovals(ctx, s.Version); err != nil {
			return err
		}
	}
	return r.checkExist(ctx, shares)
}

func (r *Registry) checkExist(ctx context.Context, shares []Share) error {
	for _, s := range shares {
		if _, err := r.Manifest(ctx, s.Version); err != nil {
			return err
		}
	}
	return nil
}

// Rollback returns to what was served before and returns those shares. A second rollback goes
// back one step further. The error is ErrNoPrevious if nothing was served before.
func (r *Registry) Rollback(ctx context.Context) (shares []Share, err error) {
	written, err := r.appendChange(ctx, func(changes []Change) (Change, error) { return r.rollbackChange(ctx, changes) })
	if err != nil {
		return nil, fmt.Errorf("roll back: %w", err)
	}
	return written[0].Serving, nil
}

func (r *Registry) rollbackChange(ctx context.Context, changes []Change) (Change, error) {
	stack := servingStack(changes)
	if len(stack) < 2 {
		return Change{}, ErrNoPrevious
	}
	return Change{Kind: KindRollback, Serving: stack[1]}, r.checkExist(ctx, stack[1])
}

// appendChange records the change that next returns, and returns the written changes.
func (r *Registry) appendChange(ctx context.Context, next func([]Change) (Change, error)) (written []Change, err error) {
	err = r.updateChanges(ctx, func(changes []Change) ([]Change, error) {
		c, err := next(changes)
		written = prepend(c, changes)
		return written, err
	})
	return written, err
}

func prepend(c Change, changes []Change) []Change {
	c.Time = time.Now().UTC().Truncate(time.Second)
	return append([]Change{c}, changes...)
}

// updateChanges atomically replaces the changes by the result of update.
func (r *Registry) updateChanges(ctx context.Context, update func([]Change) ([]Change, error)) error {
	err := r.storage.updateState(ctx, func(old []byte) ([]byte, error) {
		var changes []Change
		if len(old) > 0 {
			var err error
			if changes, err = parseChanges(old); err != nil {
				return nil, err
			}
		}
		changes, err := update(changes)
		if err != nil {
			return nil, err
		}
		return formatChanges(changes), nil
	})
	if err != nil {
		return fmt.Errorf("write %s of %s: %w", stateFile, r.location, err)
	}
	return nil
}
