package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const draftPrefix = ".draft-"

// Draft is a version that is being written.
type Draft struct {
	Dir      string // for the files of the version
	registry *Registry
	lock     *os.File // of the folder, which tells a living draft from what a kill left
}

// Draft makes an empty folder for the files of a new version. A draft that is
// never published is invisible; Discard removes it.
func (r *Registry) Draft() (*Draft, error) {
	d := &Draft{registry: r}
	if err := d.make(); err != nil {
		return nil, fmt.Errorf("make a draft version: %w", errors.Join(err, d.Discard()))
	}
	return d, nil
}

func (d *Draft) make() (err error) {
	if d.Dir, err = os.MkdirTemp(d.registry.storage.drafts(), draftPrefix); err != nil {
		return err
	}
	if err := os.Chmod(d.Dir, 0o755); err != nil { // MkdirTemp lets nobody else read
		return err
	}
	if d.lock, err = os.Open(d.Dir); err != nil {
		return err
	}
	return unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// PublishOption says something of a version in its manifest.
type PublishOption func(*Manifest)

// Parent names the version that this one was made from.
func Parent(version string) PublishOption { return func(m *Manifest) { m.Parent = version } }

// Run names what makes the version, by a name that nothing else has: MadeBy finds it.
func Run(name string) PublishOption { return func(m *Manifest) { m.Run = name } }

// Refused keeps the version for the record, with the reason. SetCurrent does not take it.
func Refused(reason string) PublishOption {
	return func(m *Manifest) { m.State, m.Reason = StateRefused, reason }
}

// Publish gives the draft the next version number. It does not make it current.
func (d *Draft) Publish(ctx context.Context, options ...PublishOption) (version string, err error) {
	m := Manifest{Format: Format, Created: time.Now().UTC().Truncate(time.Second), State: StatePublished}
	for _, set := range options {
		set(&m)
	}
	if err = m.list(ctx, d.Dir); err == nil {
		version, err = d.registry.storage.publish(ctx, d.Dir, m)
	}
	if err != nil {
		return "", fmt.Errorf("publish %s to %s: %w", d.Dir, d.registry.location, err)
	}
	return version, nil
}

// Discard removes the draft; what Publish has put in place stays.
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

func encodeManifest(m Manifest) ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}
