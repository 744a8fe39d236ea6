package registry

import (
	"context"
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
)

// Format is the format number of versions: of the manifest and of the model files. It is
// incremented with incompatible changes, so that no program serves a version it misinterprets.
// Versions from oldestFormat on can be read.
//
// Format 2 has models whose search has items as leaves (genrec_item_leaves).
const (
	Format       = 2
	oldestFormat = 1
)

// Manifest describes the files and the origin of a version.
type Manifest struct {
	Format  int       `json:"format"`            // see Format
	Version string    `json:"version,omitempty"` // set when read
	Created time.Time `json:"created"`           // time of publication
	Parent  string    `json:"parent,omitempty"`  // the version that it was derived from
	Run     string    `json:"run,omitempty"`     // unique name of the training run
	State   State     `json:"state"`             // published or refused
	Reason  string    `json:"reason,omitempty"`  // why it was refused
	Files   []File    `json:"files"`             // all files but the manifest
}

// File is a file of a version.
type File struct {
	Name   string `json:"name"`   // path below the version's folder, with slashes
	Bytes  int64  `json:"bytes"`  // size
	SHA256 string `json:"sha256"` // checksum, hexadecimal
}

// State says whether a version passed the promotion gate.
type State string

// States of a version.
const (
	StatePublished State = "published" // may be promoted
	StateRefused   State = "refused"   // kept for the record
)

const manifestFile = "manifest.json"

// Bytes returns the total size of the files.
func (m Manifest) Bytes() (sum int64) {
	for _, f := range m.Files {
		sum += f.Bytes
	}
	return sum
}

func encodeManifest(m Manifest) ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

func decodeManifest(version string, data []byte) (m Manifest, err error) {
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("decode %s: %w", manifestFile, err)
	}
	m.Version = version
	if m.Format < oldestFormat || m.Format > Format {
		return m, fmt.Errorf("%s: unsupported format %d: this genrec supports formats %d to %d; use the genrec release that published the version", manifestFile, m.Format, oldestFormat, Format)
	}
	if m.State != StatePublished && m.State != StateRefused {
		return m, fmt.Errorf("%s: unknown state %.40q: want %s or %s", manifestFile, m.State, StatePublished, StateRefused)
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(f.Name) || f.Name == manifestFile {
			return m, fmt.Errorf("%s: invalid file name %q", manifestFile, f.Name)
		}
		if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size || f.Bytes < 0 {
			return m, fmt.Errorf("%s: invalid size %d or SHA-256 %.80q of %s", manifestFile, f.Bytes, f.SHA256, f.Name)
		}
	}
	return m, nil
}

// addFiles adds the files in a folder to the manifest.
func (m *Manifest) addFiles(ctx context.Context, dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is neither a regular file nor a folder", path)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if name == manifestFile {
			return nil // left by a failed attempt to publish
		}
		f := File{Name: filepath.ToSlash(name)}
		if f.SHA256, f.Bytes, err = checksum(ctx, path); err != nil {
			return err
		}
		m.Files = append(m.Files, f)
		return nil
	})
}

// verify checks that a folder has exactly the files of the manifest.
func (m Manifest) verify(ctx context.Context, dir string) error {
	listed := map[string]bool{manifestFile: true}
	for _, f := range m.Files {
		listed[f.Name] = true
		if err := f.verify(ctx, dir); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && !listed[filepath.ToSlash(name)] {
			err = fmt.Errorf("file %s is not in the manifest", name)
		}
		return err
	})
}

// readFile returns the result of read after verifying it as the named file.
func (m Manifest) readFile(name string, read func() ([]byte, error)) ([]byte, error) {
	i := slices.IndexFunc(m.Files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("not in the manifest: %w", fs.ErrNotExist)
	}
	data, err := read()
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != m.Files[i].SHA256 {
		return nil, fmt.Errorf("SHA-256 mismatch: got %x, want %s", sum, m.Files[i].SHA256)
	}
	return data, nil
}

func (f File) verify(ctx context.Context, dir string) error {
	sum, size, err := checksum(ctx, filepath.Join(dir, filepath.FromSlash(f.Name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("file %s is missing: %w", f.Name, err)
	case err != nil:
		return err
	case size != f.Bytes:
		return fmt.Errorf("file %s has %d bytes, want %d", f.Name, size, f.Bytes)
	case sum != f.SHA256:
		return fmt.Errorf("file %s has SHA-256 %s, want %s", f.Name, sum, f.SHA256)
	}
	return nil
}

func checksum(ctx context.Context, path string) (sum string, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	h := sha256.New()
	if size, err = io.Copy(h, contextReader{ctx, file}); err != nil {
		return "", 0, fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
