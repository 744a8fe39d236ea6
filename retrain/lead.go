package retrain

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"genrec/model"
	"genrec/model/dist"
)

// invite gives the other ranks of the group, if there is one, what they need to train
// beside this one.
func (t *training) invite() (err error) {
	g := t.config.Group
	if g == nil {
		return nil
	}
	t.config.Logger.Info("the other ranks get what to train", "ranks", g.WorldSize)
	j := t.job()
	w := g.Writer()
	if err := errors.Join(j.write(w), sendBundle(w, t.bundle), w.Close()); err != nil {
		return fmt.Errorf("send the training to the other ranks: %w", err)
	}
	return j.agree(g, t.config.Device)
}

// sendBundle writes the files of a bundle, without the rules, which learn nothing more.
func sendBundle(w io.Writer, b model.Bundle) (err error) {
	dir, err := os.MkdirTemp("", "genrec-bundle-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := (model.Bundle{Model: b.Model, Catalog: b.Catalog, Vocabulary: b.Vocabulary}).Save(dir); err != nil {
		return err
	}
	files := tar.NewWriter(w)
	return errors.Join(files.AddFS(os.DirFS(dir)), files.Close())
}

// follows tells whether another rank keeps the record of the training.
func (t *training) follows() bool { return t.config.Group != nil && t.config.Group.Rank > 0 }

// stopped is the reason for which to stop before the next step. All ranks stop before the
// same one.
func (t *training) stopped(ctx context.Context) error {
	g := t.config.Group
	switch {
	case g == nil:
		return ctx.Err()
	case g.Stopping():
		return fmt.Errorf("a rank was asked to stop: %w", context.Canceled)
	}
	return nil
}

// letWait lets the other ranks wait while this one works on the model alone.
func (t *training) letWait() {
	if g := t.config.Group; g != nil {
		g.Hold()
	}
}

// verdict says whether the validation of the epoch just finished ends the training.
func (t *training) verdict(ctx context.Context) (stop bool, err error) {
	g := t.config.Group
	if g == nil {
		return t.validate(ctx)
	}
	if t.follows() {
		said, err := g.Receive()
		return len(said) > 0, err
	}
	t.letWait()
	if stop, err = t.validate(ctx); err != nil {
		return stop, err
	}
	var said []byte
	if stop {
		said = []byte("stop")
	}
	return stop, g.Broadcast(said)
}

// salvage saves where the training stands if another rank was lost on the way to the next
// step.
func (t *training) salvage(lost error, trainer *model.Trainer) error {
	if errors.Is(lost, dist.ErrPeerLost) {
		return errors.Join(lost, t.checkpoint(trainer))
	}
	return lost
}
