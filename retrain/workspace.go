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
//	run.json         what is being trained on what, and since when
//	state.json       the position of the newest checkpoint, and its file
//	*.safetensors    the weights and moments of that checkpoint, and the weights of
//	                 the best epoch so far
//	curves.jsonl     the curves
//	snapshots/       the training data, if there is no history
type workspace struct {
	dir     string
	lock    *os.File
	curves  *os.File
	run     string // a name that no other run has
	resumed bool   // the run had begun before
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
	Snapshot   string `json:"snapshot"` // SHA-256 of its manifest, or of other data
	// Previous is the version that the run builds on, FromScratch that it does not use its weights.
	Previous    string `json:"previous,omitempty"`
	FromScratch bool   `json:"from_scratch"`

	SnapshotDir string    `json:"snapshot_dir,omitempty"`
	Started     time.Time `json:"started"` // of the first of the attempts
}

func identify(c Config, sequences []catalog.Sequence, before *previousVersion) identity {
	who := identity{
		Recipe: c.Recipe, Seed: c.Seed, Device: c.Device.String(), Pretrained: c.Pretrained,
		AllowSeen: c.Ranker.AllowSeen, MaxSteps: c.Budget.Steps, Previous: before.name(), FromScratch: c.scratchReason(before) != "",
	}
	if c.Snapshot != nil {
		who.Snapshot, who.SnapshotDir = c.Snapshot.Hash, c.Snapshot.Dir
	} else {
		who.Snapshot = fingerprint(sequences)
	}
	return who
}

// state is a checkpoint beside its weights.
type state struct {
	position
	Weights string `json:"weights"`
	Curves  int64  `json:"curves"` // bytes of the curves that belong to it
}

// openWorkspace locks the folder and empties it, unless it belongs to the same run.
func openWorkspace(models *registry.Registry, mine identity) (w *workspace, err error) {
	dir := models.Workspace()
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the folder of the run %s: %w", dir, err)
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
	if err := w.prepare(mine); err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	if w.curves, err = os.OpenFile(w.path(CurvesFile), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, errors.Join(err, w.lock.Close())
	}
	return w, nil
}

// prepare empties the folder unless it belongs to the same run.
func (w *workspace) prepare(mine identity) error {
	var theirs identity
	err := readJSON(w.path(runFile), &theirs)
	mine.Started = theirs.Started
	w.resumed = err == nil && theirs == mine
	if !w.resumed {
		if err := w.removeExcept("*", lockFile, snapshotsFolder); err != nil {
			return err
		}
		mine.Started = time.Now().UTC()
		if err := writeJSON(w.path(runFile), mine); err != nil {
			return err
		}
	}
	w.run, err = mine.name()
	return err
}

// name returns a unique name of the run.
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

// bestWeights is where the weights of the best epoch are.
func (w *workspace) bestWeights(epoch int) string { return w.path(bestFile(epoch)) }

// removeExcept removes all files of a kind but those named.
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

// save writes a checkpoint; a kill on the way leaves the one before.
func (w *workspace) save(at position, trainer *model.Trainer) error {
	curves, err := w.curves.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("save a checkpoint: %w", err)
	}
	next := state{position: at, Curves: curves, Weights: fmt.Sprintf("stage-%d-epoch-%d-batch-%d.safetensors", at.Stage, at.Epoch, at.Batch)}
	if err := trainer.SaveCheckpoint(w.path(next.Weights)); err != nil {
		return fmt.Errorf("save a checkpoint: %w", err)
	}
	if err := writeJSON(w.path(stateFile), next); err != nil {
		return fmt.Errorf("save a checkpoint: %w", err)
	}
	return w.removeExcept("*.safetensors", next.Weights, bestFile(at.BestEpoch))
}

// restore reads the newest checkpoint, if there is one, and returns its file of
// weights.
func (w *workspace) restore(at *position) (weights string, err error) {
	var s state
	err = readJSON(w.path(stateFile), &s)
	if errors.Is(err, fs.ErrNotExist) {
		return "", w.rewind(0)
	}
	if err != nil {
		return "", fmt.Errorf("resume the run: %w", err)
	}
	*at = s.position
	return w.path(s.Weights), w.rewind(s.Curves)
}

// rewind forgets the curves behind a checkpoint.
func (w *workspace) rewind(size int64) error {
	_, err := w.curves.Seek(size, io.SeekStart)
	if err := errors.Join(err, w.curves.Truncate(size)); err != nil {
		return fmt.Errorf("rewind the curves: %w", err)
	}
	return nil
}

// plot adds a point to the curves.
func (w *workspace) plot(p point) error {
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

// close ends the run; what belongs to a finished one, or to one that must not go on, is
// removed.
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

// writeJSON replaces a file in one step.
func writeJSON(path string, from any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return durable.Replace(path, data)
}
