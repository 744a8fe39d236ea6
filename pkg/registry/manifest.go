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

// Format is the number of the format of versions: of the manifest, and of what a model's files
// are and mean. It changes with them, so that no program serves what it does not understand.
const Format = 1

// Manifest tells what a version is made of and where it comes from.
type Manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"version,omitempty"`
	Created time.Time `json:"created"`
	Parent  string    `json:"parent,omitempty"` // the version that it was made from
	Run     string    `json:"run,omitempty"`    // that made it, which makes no second one
	State   State     `json:"state"`
	Reason  string    `json:"reason,omitempty"` // why it was refused
	Files   []File    `json:"files"`
}

// File is one of a version, with what it must hold.
type File struct {
	Name   string `json:"name"` // with slashes, below the version's folder
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// State says whether a version may be served.
type State string

// A version is published, or kept for the record.
const (
	StatePublished State = "published"
	StateRefused   State = "refused"
)

const manifestFile = "manifest.json"

// Bytes is the size of all files.
func (m Manifest) Bytes() (sum int64) {
	for _, f := range m.Files {
		sum += f.Bytes
	}
	return sum
}

func decodeManifest(version string, data []byte) (m Manifest, err error) {
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("decode %s: %w", manifestFile, err)
	}
	m.Version = version
	if m.Format != Format {
		return m, fmt.Errorf("%s: its format is %d, and this genrec knows format %d: let the genrec that published it serve it", manifestFile, m.Format, Format)
	}
	if m.State != StatePublished && m.State != StateRefused {
		return m, fmt.Errorf("%s: the state %.40q is neither %s nor %s", manifestFile, m.State, StatePublished, StateRefused)
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(f.Name) || f.Name == manifestFile {
			return m, fmt.Errorf("%s: %q is no file of a version", manifestFile, f.Name)
		}
		if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size || f.Bytes < 0 {
			return m, fmt.Errorf("%s: size %d and SHA-256 %.80q of %s cannot be", manifestFile, f.Bytes, f.SHA256, f.Name)
		}
	}
	return m, nil
}

// list adds the files in a folder to the manifest.
func (m *Manifest) list(ctx context.Context, dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if name == manifestFile {
			return nil // of an attempt to publish that failed
		}
		f := File{Name: filepath.ToSlash(name)}
		if f.SHA256, f.Bytes, err = checksum(ctx, path); err != nil {
			return err
		}
		m.Files = append(m.Files, f)
		return nil
	})
}

// verify compares a folder with the manifest.
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
			err = fmt.Errorf("its manifest does not name the file %s", name)
		}
		return err
	})
}

// read compares one file that is read whole.
func (m Manifest) read(name string, from func() ([]byte, error)) ([]byte, error) {
	i := slices.IndexFunc(m.Files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("its manifest does not name it: %w", fs.ErrNotExist)
	}
	data, err := from()
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != m.Files[i].SHA256 {
		return nil, fmt.Errorf("it has the SHA-256 %x, its manifest says %s", sum, m.Files[i].SHA256)
	}
	return data, nil
}

func (f File) verify(ctx context.Context, dir string) error {
	sum, size, err := checksum(ctx, filepath.Join(dir, filepath.FromSlash(f.Name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the file %s is missing: %w", f.Name, err)
	case err != nil:
		return err
	case size != f.Bytes:
		return fmt.Errorf("the file %s has %d bytes, its manifest says %d", f.Name, size, f.Bytes)
	case sum != f.SHA256:
		return fmt.Errorf("the file %s has the SHA-256 %s, its manifest says %s", f.Name, sum, f.SHA256)
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
	if size, err = io.Copy(h, untilDone{ctx, file}); err != nil {
		return "", 0, fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// untilDone ends a reader with its context.
type untilDone struct {
	ctx  context.Context
	from io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
