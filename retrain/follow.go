package retrain

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"genrec/model"
	"genrec/model/dist"
)

// Follow trains beside the Run of rank 0, which says what, until that has ended: then it
// returns nil, or why rank 0 gave up. It needs no data of its own, and publishes nothing.
func Follow(ctx context.Context, g *dist.Group, device model.Device, cores int, logger *slog.Logger) error {
	r := &run{config: Config{Device: device, Group: g, Cores: cores, Logger: logger}, progress: silent{}}
	return r.inOwnThread(func() error {
		for {
			err := r.follow(ctx)
			if errors.Is(err, dist.ErrDone) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

// follow trains once.
func (r *run) follow(ctx context.Context) error {
	j, bundle, err := r.receive()
	if err != nil {
		return err
	}
	defer bundle.Model.Drop()
	r.config.Recipe, r.config.Seed, r.config.Budget.Steps = j.Recipe, j.Seed, j.Steps
	if err := j.agree(r.config.Group, r.config.Device); err != nil {
		return err
	}
	r.config.Logger.InfoContext(ctx, "training beside rank 0", "rank", r.config.Group.Rank, "users", j.Users)
	t := &training{run: r, parts: parts{histories: j.histories}, bundle: bundle, at: j.At, saved: time.Now()}
	t.stages = t.plan(bundle.Builder())
	return t.runStages(ctx, "")
}

// receive takes a job and its bundle.
func (r *run) receive() (j job, b model.Bundle, err error) {
	dir, err := os.MkdirTemp("", "genrec-bundle-")
	if err != nil {
		return j, b, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	from := bufio.NewReader(r.config.Group.Reader())
	if j, err = readJob(from); err != nil {
		return j, b, fmt.Errorf("read what to train: %w", err)
	}
	if err := unpack(from, dir); err != nil {
		return j, b, fmt.Errorf("read the model to train: %w", err)
	}
	b, err = model.LoadBundle(dir, r.config.Device)
	return j, b, err
}

// unpack writes the files of an archive, to its end, into a folder.
func unpack(from io.Reader, dir string) error {
	files := tar.NewReader(from)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, from) // the archive's padding
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
