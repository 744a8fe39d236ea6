package torchfile

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"strings"
)

const zipMagic = "PK\x03\x04"

func isZip(file io.ReaderAt) bool {
	var head [len(zipMagic)]byte
	_, err := file.ReadAt(head[:], 0)
	return err == nil && string(head[:]) == zipMagic
}

// zipSource holds the entries of an archive by their names below its one folder:
// data.pkl is the state dict, data/KEY a storage.
type zipSource map[string]*zip.File

func loadZip(file io.ReaderAt, size int64) (named []*view, from source, err error) {
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return nil, nil, fmt.Errorf("zip archive, perhaps cut short: %w", err)
	}
	entries := make(zipSource, len(archive.File))
	for _, f := range archive.File {
		_, name, _ := strings.Cut(f.Name, "/")
		entries[name] = f
	}
	if entries["byteorder"] != nil {
		order, err := entries.content("byteorder")
		if err != nil {
			return nil, nil, err
		}
		if string(order) != "little" {
			return nil, nil, errBigEndian
		}
	}
	text, err := entries.content("data.pkl")
	if err != nil {
		return nil, nil, err
	}
	u := unpickler{storages: make(map[string]*storage)}
	root, _, err := u.load(text)
	if err != nil {
		return nil, nil, fmt.Errorf("data.pkl: %w", err)
	}
	if named, err = views(root); err != nil {
		return nil, nil, err
	}
	total := int64(0)
	for _, s := range u.storages { // entries may lie on top of each other
		if s.count > size || s.bytes() > size-total {
			return nil, nil, fmt.Errorf("storages take more than the file's %d bytes", size)
		}
		total += s.bytes()
	}
	return named, entries, nil
}

var errBigEndian = errors.New("big-endian files cannot be read")

func (z zipSource) content(name string) ([]byte, error) {
	f, err := z.entry(name)
	if err != nil {
		return nil, err
	}
	if f.UncompressedSize64 > maxPickle {
		return nil, fmt.Errorf("zip entry %q has %d bytes, limit %d", name, f.UncompressedSize64, maxPickle)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("zip entry %q: %w", name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("zip entry %q: %w", name, err)
	}
	return text, nil
}

// entry refuses compressed ones, which PyTorch never writes and which could expand
// without limit.
func (z zipSource) entry(name string) (*zip.File, error) {
	f, exists := z[name]
	if !exists {
		return nil, fmt.Errorf("zip entry %q is missing: damaged or not a PyTorch file", name)
	}
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
		return nil, fmt.Errorf("zip entry %q is compressed: not a PyTorch file", name)
	}
	return f, nil
}

func (z zipSource) open(s *storage) (io.ReadCloser, error) {
	f, err := z.entry("data/" + s.key)
	if err != nil {
		return nil, err
	}
	if f.UncompressedSize64 != uint64(s.bytes()) {
		return nil, fmt.Errorf("zip entry has %d bytes, want %d", f.UncompressedSize64, s.bytes())
	}
	return f.Open()
}
