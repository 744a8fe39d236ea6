package retrain

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"genrec/model"
	"genrec/model/dist"
	"genrec/model/examples"
)

// In a distributed training (model/dist), rank 0 is the coordinator: it runs Run, broadcasts the job to
// the workers and validates, checkpoints and publishes alone. Workers run RunWorker. All ranks take the
// same training steps.

// job is what the coordinator broadcasts to the workers, followed by the bundle.
type job struct {
	Recipe    Recipe        `json:"recipe"`
	Seed      int64         `json:"seed"`
	Device    string        `json:"device"`
	Steps     int           `json:"steps"` // limit of the budget
	At        trainingState `json:"at"`
	Users     int           `json:"users"` // number of histories, which follow the job
	histories []examples.History
}

func (t *training) job() job {
	return job{
		Recipe: t.config.Recipe, Seed: t.config.Seed, Device: t.config.Device.String(), Steps: t.config.Budget.Steps, At: t.state,
		Users: len(t.histories), histories: t.histories,
	}
}

// write writes the job and its histories as lines of JSON.
func (j job) write(to io.Writer) error {
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(out)
	if err := lines.Encode(j); err != nil {
		return err
	}
	for _, h := range j.histories {
		if err := lines.Encode(h); err != nil {
			return err
		}
	}
	return out.Flush()
}

// readJob reads a job and its histories, and nothing after them.
func readJob(from *bufio.Reader) (j job, err error) {
	line := func(into any) error {
		text, err := from.ReadBytes('\n')
		if err != nil {
			return err
		}
		return json.Unmarshal(text, into)
	}
	if err := line(&j); err != nil {
		return j, err
	}
	j.histories = make([]examples.History, j.Users)
	for i := range j.histories {
		if err := line(&j.histories[i]); err != nil {
			return j, fmt.Errorf("history %d of %d: %w", i+1, j.Users, err)
		}
	}
	return j, nil
}

// verifyEqual fails on all ranks unless all have the same job and kind of device.
func (j job) verifyEqual(g *dist.Group, device model.Device) error {
	if err := g.VerifyEqual("device (--device)", device.String()); err != nil {
		return err
	}
	h := sha256.New()
	if err := j.write(h); err != nil {
		return err
	}
	return g.VerifyEqual("snapshot or recipe", hex.EncodeToString(h.Sum(nil)))
}

// broadcastJob sends the job and the bundle to the workers, if there are any.
func (t *training) broadcastJob() (err error) {
	g := t.config.Group
	if g == nil {
		return nil
	}
	t.config.Logger.Info("broadcasting the training to the other ranks", "ranks", g.WorldSize)
	j := t.job()
	w := g.Writer()
	if err := errors.Join(j.write(w), writeBundle(w, t.bundle), w.Close()); err != nil {
		return fmt.Errorf("broadcast the training to the other ranks: %w", err)
	}
	return j.verifyEqual(g, t.config.Device)
}

// writeBundle writes the files of a bundle as a tar archive, without the rules, which are not trained.
func writeBundle(w io.Writer, b model.Bundle) (err error) {
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

// isWorker reports whether this is a rank other than the coordinator.
func (t *training) isWorker() bool { return t.config.Group != nil && t.config.Group.Rank > 0 }

// stopRequested returns an error if the training has to stop before the next step. All ranks stop
// before the same step.
func (t *training) stopRequested(ctx context.Context) error {
	g := t.config.Group
	switch {
	case g == nil:
		return ctx.Err()
	case g.Stopping():
		return fmt.Errorf("a rank requested a stop: %w", context.Canceled)
	}
	return nil
}

// holdWorkers keeps the workers waiting while the coordinator works on the model alone.
func (t *training) holdWorkers() {
	if g := t.config.Group; g != nil {
		g.Hold()
	}
}

// stopEarly validates the epoch that just ended and reports whether the training ends with it. The
// coordinator decides for all ranks.
func (t *training) stopEarly(ctx context.Context) (stop bool, err error) {
	g := t.config.Group
	if g == nil {
		return t.validate(ctx)
	}
	if t.isWorker() {
		message, err := g.Receive()
		return len(message) > 0, err
	}
	t.holdWorkers()
	if stop, err = t.validate(ctx); err != nil {
		return stop, err
	}
	var message []byte
	if stop {
		message = []byte("stop")
	}
	return stop, g.Broadcast(message)
}

// saveOnPeerLoss saves a checkpoint if err is the loss of another rank, and returns err.
func (t *training) saveOnPeerLoss(err error, trainer *model.Trainer) error {
	if errors.Is(err, dist.ErrPeerLost) {
		return errors.Join(err, t.checkpoint(trainer))
	}
	return err
}

// RunWorker trains as a worker of the group until the coordinator's Run has ended. It returns the
// coordinator's error, if it failed. It needs no data and publishes nothing.
func RunWorker(ctx context.Context, g *dist.Group, device model.Device, cores int, logger *slog.Logger) error {
	c := Config{Device: device, Group: g, Cores: cores, Logger: logger, Progress: noProgress{}}
	return onOwnThread(logger, func() error {
		for {
			err := runJob(ctx, c)
			if errors.Is(err, dist.ErrDone) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

// runJob receives one job and trains it.
func runJob(ctx context.Context, c Config) error {
	j, bundle, err := receiveJob(c)
	if err != nil {
		return err
	}
	defer bundle.Model.Drop()
	c.Recipe, c.Seed, c.Budget.Steps = j.Recipe, j.Seed, j.Steps
	if err := j.verifyEqual(c.Group, c.Device); err != nil {
		return err
	}
	c.Logger.InfoContext(ctx, "training as a worker", "rank", c.Group.Rank, "users", j.Users)
	t := &training{config: c, initialized: &initialized{bundle: bundle}, trainingData: trainingData{histories: j.histories}, state: j.At, saved: time.Now()}
	t.stages = t.plan(bundle.Builder())
	return t.runStages(ctx, "")
}

// receiveJob receives a job and loads its bundle.
func receiveJob(c Config) (j job, b model.Bundle, err error) {
	dir, err := os.MkdirTemp("", "genrec-bundle-")
	if err != nil {
		return j, b, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	from := bufio.NewReader(c.Group.Reader())
	if j, err = readJob(from); err != nil {
		return j, b, fmt.Errorf("receive the job: %w", err)
	}
	if err := unpackTar(from, dir); err != nil {
		return j, b, fmt.Errorf("receive the model of the job: %w", err)
	}
	b, err = model.LoadBundle(dir, c.Device)
	return j, b, err
}

// unpackTar writes the files of a tar archive to a folder, and reads the archive to its end.
func unpackTar(from io.Reader, dir string) error {
	files := tar.NewReader(from)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, from) // the padding
			return err
		}
		if err != nil {
			return err
		}
		if !header.FileInfo().Mode().IsRegular() {
			continue
		}
		file, err := os.Create(filepath.Join(dir, filepath.Base(header.Name)))
		if err != nil {
			return err
		}
		_, err = io.Copy(file, files)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
}
