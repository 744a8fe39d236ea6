package retrain

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/durable"
	"genrec/pkg/registry"
)

// workspace is the folder of the run in progress. It survives a kill, so that the run can be resumed:
//
//	run.json         identity of the run and its start
//	state.json       state of the training at the newest checkpoint, and the name of its weights file
//	*.safetensors    weights and moments of that checkpoint, and weights of the best epoch so far
//	curves.jsonl     training curves
//	snapshots/       the training data, if there is no history
type workspace struct {
	dir     string
	lock    *os.File
	curves  *os.File
	run     string // unique name of the run
	resumed bool   // this is a later attempt of the run
}

const (
	runFile   = "run.json"
	stateFile = "state.json"
	lockFile  = "lock"
)

// ErrBusy reports that another run uses the same folder.
var ErrBusy = errors.New("another retrain is running")

// identity identifies a run: an interrupted run is resumed only by one with the same identity.
type identity struct {
	Recipe     Recipe `json:"recipe"`
	Seed       int64  `json:"seed"`
	Device     string `json:"device"`
	Pretrained string `json:"pretrained,omitempty"`
	AllowSeen  bool   `json:"allow_seen"`
	MaxSteps   int    `json:"max_steps,omitempty"`
	Snapshot   string `json:"snapshot"` // SHA-256 of the manifest, or of other data
	// Previous is the version that the run builds on; FromScratch excludes its weights.
	Previous    string `json:"previous,omitempty"`
	FromScratch bool   `json:"from_scratch"`

	SnapshotDir string    `json:"snapshot_dir,omitempty"`
	Started     time.Time `json:"started"` // start of the first attempt
}

func identify(c Config, sequences []catalog.Sequence, previous *previousVersion) identity {
	i := identity{
		Recipe: c.Recipe, Seed: c.Seed, Device: c.Device.String(), Pretrained: c.Pretrained,
		AllowSeen: c.Ranker.AllowSeen, MaxSteps: c.Budget.Steps, Previous: previous.name(), FromScratch: c.scratchReason(previous) != "",
	}
	if c.Snapshot != nil {
		i.Snapshot, i.SnapshotDir = c.Snapshot.Hash, c.Snapshot.Dir
	} else {
		i.Snapshot = fingerprint(sequences)
	}
	return i
}

// checkpoint is a checkpoint without its weights.
type checkpoint struct {
	trainingState
	Weights string `json:"weights"` // file name
	Curves  int64  `json:"curves"`  // size of the curves at the checkpoint, in bytes
}

// openWorkspace locks the folder and empties it, unless it belongs to the same run.
func openWorkspace(models *registry.Registry, this identity) (w *workspace, err error) {
	dir := models.Workspace()
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the workspace %s: %w", dir, err)
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	w = &workspace{dir: dir}
	if w.lock, err = os.Create(w.path(lockFile)); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(w.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		w.lock.Close()
		return nil, fmt.Errorf("%w (%w)", ErrBusy, err)
	}
	if err := w.prepare(this); err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	if w.curves, err = os.OpenFile(w.path(CurvesFile), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	return w, nil
}

// prepare empties the folder unless it belongs to the same run.
func (w *workspace) prepare(this identity) error {
	var interrupted identity
	err := readJSON(w.path(runFile), &interrupted)
	this.Started = interrupted.Started
	w.resumed = err == nil && interrupted == this
	if !w.resumed {
		if err := w.removeExcept("*", lockFile, snapshotsFolder); err != nil {
			return err
		}
		this.Started = time.Now().UTC()
		if err := writeJSON(w.path(runFile), this); err != nil {
			return err
		}
	}
	w.run, err = this.name()
	return err
}

// name returns a name that is unique to the run.
func (i identity) name() (string, error) {
	text, err := json.Marshal(i)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

func fingerprint(sequences []catalog.Sequence) string {
	h := sha256.New()
	out := bufio.NewWriter(h)
	for _, s := range sequences {
		fmt.Fprintf(out, "%q %q\n", s.User, s.Items)
	}
	out.Flush()
	return hex.EncodeToString(h.Sum(nil))
}

func (w *workspace) path(name string) string { return filepath.Join(w.dir, name) }

func bestFile(epoch int) string { return fmt.Sprintf("best-%d.safetensors", epoch) }

// bestWeights returns the path of the best epoch's weights.
func (w *workspace) bestWeights(epoch int) string { return w.path(bestFile(epoch)) }

// removeExcept removes all files that match a pattern, except the named ones.
func (w *workspace) removeExcept(pattern string, names ...string) error {
	found, err := filepath.Glob(w.path(pattern))
	if err != nil {
		return err
	}
	for _, path := range found {
		if !slices.Contains(names, filepath.Base(path)) {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// save writes a checkpoint atomically and removes the one before.
func (w *workspace) save(at trainingState, trainer *model.Trainer) error {
	curves, err := w.curves.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("save a checkpoint: %w", err)
	}
	next := checkpoint{trainingState: at, Curves: curves, Weights: fmt.Sprintf("stage-%d-epoch-%d-batch-%d.safetensors", at.Stage, at.Epoch, at.Batch)}
	if err := trainer.SaveCheckpoint(w.path(next.Weights)); err != nil {
		return fmt.Errorf("save a checkpoint: %w", err)
	}
	if err := writeJSON(w.path(stateFile), next); err != nil {
		return fmt.Errorf("save a checkpoint: %w", err)
	}
	return w.removeExcept("*.safetensors", next.Weights, bestFile(at.BestEpoch))
}

// restore reads the newest checkpoint and returns the path of its weights, empty without one.
func (w *workspace) restore(at *trainingState) (weights string, err error) {
	var saved checkpoint
	err = readJSON(w.path(stateFile), &saved)
	if errors.Is(err, fs.ErrNotExist) {
		return "", w.rewind(0)
	}
	if err != nil {
		return "", fmt.Errorf("resume the run: %w", err)
	}
	*at = saved.trainingState
	return w.path(saved.Weights), w.rewind(saved.Curves)
}

// rewind truncates the curves to their size at a checkpoint.
func (w *workspace) rewind(size int64) error {
	_, err := w.curves.Seek(size, io.SeekStart)
	if err := errors.Join(err, w.curves.Truncate(size)); err != nil {
		return fmt.Errorf("rewind the curves: %w", err)
	}
	return nil
}

// appendCurve adds a point to the curves.
func (w *workspace) appendCurve(p curvePoint) error {
	if err := json.NewEncoder(w.curves).Encode(p); err != nil {
		return fmt.Errorf("write the curves: %w", err)
	}
	return nil
}

func (w *workspace) copyCurves(dir string) error {
	data, err := os.ReadFile(w.path(CurvesFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, CurvesFile), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("copy the curves: %w", err)
	}
	return nil
}

// close unlocks the workspace, and empties it if the run is finished or must not be resumed.
func (w *workspace) close(finished bool) error {
	err := w.curves.Close()
	if finished {
		err = errors.Join(err, w.removeExcept("*", lockFile))
	}
	return errors.Join(err, w.lock.Close())
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file atomically.
func writeJSON(path string, from any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return durable.Replace(path, data)
}
