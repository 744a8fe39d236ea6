package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Share is the part of the users that a version serves.
type Share struct {
	Version string `json:"version"`
	Percent int    `json:"percent"`
}

// ErrRefused says that a version was refused when it was published.
var ErrRefused = errors.New("the version was refused")

// ErrSplit says that the users are divided among versions, to compare them.
var ErrSplit = errors.New("the users are divided among versions")

// ErrNothingBefore says that nothing was served before what is served now.
var ErrNothingBefore = errors.New("nothing was served before")

// all is what serves everybody by one version.
func all(version string) []Share { return []Share{{Version: version, Percent: 100}} }

// Serving says which versions serve, most often one; or ErrNoVersion.
func (r *Registry) Serving(ctx context.Context) ([]Share, error) {
	moves, err := r.History(ctx)
	if err != nil {
		return nil, err
	}
	if len(moves) == 0 {
		return nil, fmt.Errorf("model registry %s: %w", r.location, ErrNoVersion)
	}
	return moves[0].Serving, nil
}

// Current is the version with the largest share, of equal ones the first; or
// ErrNoVersion.
func (r *Registry) Current(ctx context.Context) (string, error) {
	shares, err := r.Serving(ctx)
	if err != nil {
		return "", err
	}
	return Largest(shares), nil
}

// Largest is the version with the largest share, of equal ones the first.
func Largest(shares []Share) (version string) {
	percent := 0
	for _, s := range shares {
		if s.Percent > percent {
			version, percent = s.Version, s.Percent
		}
	}
	return version
}

// SetCurrent makes one version serve everybody. It takes none that was refused, and does not
// end a split: the error is ErrRefused or ErrSplit then.
func (r *Registry) SetCurrent(ctx context.Context, version string) error {
	m, err := r.Manifest(ctx, version)
	if err == nil && m.State == StateRefused {
		err = fmt.Errorf("%w: %s", ErrRefused, m.Reason)
	}
	if err == nil {
		err = r.serve(ctx, all(version), func(moves []Move) error {
			if len(moves) > 0 && len(moves[0].Serving) > 1 {
				return fmt.Errorf("%w: %s", ErrSplit, FormatShares(moves[0].Serving))
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("make version %q current: %w", version, err)
	}
	return nil
}

// SetServing divides the users among versions, also among those that were refused: it is
// for people who know what they do.
func (r *Registry) SetServing(ctx context.Context, shares []Share) error {
	err := checkShares(shares)
	if err == nil {
		err = r.serve(ctx, shares, func([]Move) error { return nil })
	}
	if err != nil {
		return fmt.Errorf("serve %s: %w", FormatShares(shares), err)
	}
	return nil
}

// serve changes what is served, if what is served lets it.
func (r *Registry) serve(ctx context.Context, shares []Share, let func([]Move) error) error {
	written, err := r.move(ctx, func(moves []Move) (Move, error) {
		return Move{Kind: Promote, Serving: shares}, errors.Join(let(moves), r.exist(ctx, shares))
	})
	if err != nil {
		return err
	}
	if err := r.settle(ctx, shares); err != nil { // Prune was faster, or may have been
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTakes)
		defer cancel()
		if undone := r.undo(late, written); undone != nil {
			err = errors.Join(err, fmt.Errorf("undo: %w", undone))
		}
		return err
	}
	return nil
}

// undo takes back a promotion that did not settle: the newest of the moves that it has
// written. If another process has moved the pointer since, what that serves stays, and the
// promotion is taken out of the history, so that a rollback does not return to it. Behind a
// rollback it stays there, which has returned from it, or to it.
func (r *Registry) undo(ctx context.Context, written []Move) error {
	return r.rewrite(ctx, func(moves []Move) ([]Move, error) {
		at := indexOf(moves, written)
		if at == 0 {
			m, err := r.back(ctx, moves)
			return prepend(m, moves), err
		}
		if at < 0 || slices.ContainsFunc(moves[:at], func(m Move) bool { return m.Kind == Rollback }) {
			return moves, nil
		}
		return slices.Delete(moves, at, at+1), nil
	})
}

// settle says whether the versions outlast the removals that have begun.
func (r *Registry) settle(ctx context.Context, shares []Share) error {
	for _, s := range shares {
		if err := r.storage.settle(ctx, s.Version); err != nil {
			return err
		}
	}
	return r.exist(ctx, shares)
}

func (r *Registry) exist(ctx context.Context, shares []Share) error {
	for _, s := range shares {
		if _, err := r.Manifest(ctx, s.Version); err != nil {
			return err
		}
	}
	return nil
}

// Rollback returns to what was served before, and says what that is. Another one goes
// back one step more. The error is ErrNothingBefore if there is nothing to return to.
func (r *Registry) Rollback(ctx context.Context) (shares []Share, err error) {
	written, err := r.move(ctx, func(moves []Move) (Move, error) { return r.back(ctx, moves) })
	if err != nil {
		return nil, fmt.Errorf("roll back: %w", err)
	}
	return written[0].Serving, nil
}

// back is the move that returns to what was served before.
func (r *Registry) back(ctx context.Context, moves []Move) (Move, error) {
	before := standing(moves)
	if len(before) < 2 {
		return Move{}, ErrNothingBefore
	}
	return Move{Kind: Rollback, Serving: before[1]}, r.exist(ctx, before[1])
}

// History lists what was served, newest first. It goes back some hundred moves.
func (r *Registry) History(ctx context.Context) ([]Move, error) {
	data, err := r.storage.pointer(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var moves []Move
	if err == nil {
		moves, err = parseMoves(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", pointerFile, r.location, err)
	}
	return moves, nil
}

// move adds to the history what next makes of it, and returns what it has written.
func (r *Registry) move(ctx context.Context, next func([]Move) (Move, error)) (written []Move, err error) {
	err = r.rewrite(ctx, func(moves []Move) ([]Move, error) {
		m, err := next(moves)
		written = prepend(m, moves)
		return written, err
	})
	return written, err
}

func prepend(m Move, moves []Move) []Move {
	m.Time = time.Now().UTC().Truncate(time.Second)
	return append([]Move{m}, moves...)
}

// rewrite replaces the history by what next makes of it.
func (r *Registry) rewrite(ctx context.Context, next func([]Move) ([]Move, error)) error {
	err := r.storage.movePointer(ctx, func(old []byte) ([]byte, error) {
		var moves []Move
		if len(old) > 0 {
			var err error
			if moves, err = parseMoves(old); err != nil {
				return nil, err
			}
		}
		moves, err := next(moves)
		if err != nil {
			return nil, err
		}
		return formatMoves(moves), nil
	})
	if err != nil {
		return fmt.Errorf("write %s of %s: %w", pointerFile, r.location, err)
	}
	return nil
}

// Standing lists what is served, what was served before it, and so on, as Rollback goes back.
func (r *Registry) Standing(ctx context.Context) ([][]Share, error) {
	moves, err := r.History(ctx)
	return standing(moves), err
}
