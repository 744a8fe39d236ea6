package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const draftPrefix = ".draft-"

// Draft is a version before its publication.
type Draft struct {
	Dir      string // write the files of the version here
	registry *Registry
	lock     *os.File // flock on Dir, released when the process dies, so that Prune can tell abandoned drafts
}

// Draft creates an empty folder for the files of a new version. Drafts are not listed as
// versions. Call Discard when done, also after Publish.
func (r *Registry) Draft() (*Draft, error) {
	d := &Draft{registry: r}
	if err := d.create(); err != nil {
		return nil, fmt.Errorf("create a draft version: %w", errors.Join(err, d.Discard()))
	}
	return d, nil
}

func (d *Draft) create() (err error) {
	if d.Dir, err = os.MkdirTemp(d.registry.storage.drafts(), draftPrefix); err != nil {
		return err
	}
	if err := os.Chmod(d.Dir, 0o755); err != nil { // MkdirTemp uses 0700
		return err
	}
	if d.lock, err = os.Open(d.Dir); err != nil {
		return err
	}
	return unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// PublishOption sets a field of the manifest.
type PublishOption func(*Manifest)

// Parent records the version that this one was derived from.
func Parent(version string) PublishOption { return func(m *Manifest) { m.Parent = version } }

// Run records the unique name of the training run, by which FindRun finds the version.
func Run(name string) PublishOption { return func(m *Manifest) { m.Run = name } }

// Refused publishes the version for the record only, with the reason. Promote rejects it.
func Refused(reason string) PublishOption {
	return func(m *Manifest) { m.State, m.Reason = StateRefused, reason }
}

// Publish publishes the draft under the next version number. It does not promote it.
func (d *Draft) Publish(ctx context.Context, options ...PublishOption) (version string, err error) {
	m := Manifest{Format: Format, Created: time.Now().UTC().Truncate(time.Second), State: StatePublished}
	for _, set := range options {
		set(&m)
	}
	if err = m.addFiles(ctx, d.Dir); err == nil {
		version, err = d.registry.storage.publish(ctx, d.Dir, m)
	}
	if err != nil {
		return "", fmt.Errorf("publish %s to %s: %w", d.Dir, d.registry.location, err)
	}
	return version, nil
}

// Discard removes the draft folder. A published version is not affected.
func (d *Draft) Discard() error {
	if d.Dir == "" {
		return nil
	}
	err := os.RemoveAll(d.Dir)
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
		d.lock = nil
	}
	return err
}
