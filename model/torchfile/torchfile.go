// Package torchfile reads state dicts that torch.save of PyTorch 1.6 or later has written, such as
// pytorch_model.bin.
//
// Such a file is a zip archive: data.pkl is a pickle of the state dict, a map from names to tensors,
// and data/KEY holds the elements of a storage, of which tensors are views. The pickle is decoded as
// data (pickle.go): nothing that it names is executed, and classes that a state dict does not need
// are rejected. The views are then resolved to contiguous tensors (tensors.go). Memory is bounded by
// the size of the file, whatever its contents claim.
package torchfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"genrec/model/safetensors"
)

// ReadFile returns the tensors of a state dict in the order of the file. Elements of 16 or 64 bits
// are converted to float32. Tensors that share a storage in the file may share memory.
func ReadFile(path string) ([]safetensors.Tensor, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read state dict: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read state dict: %w", err)
	}
	tensors, err := read(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read state dict from %s: %w", path, err)
	}
	return tensors, nil
}

func read(file io.ReaderAt, size int64) ([]safetensors.Tensor, error) {
	if err := checkFormat(file); err != nil {
		return nil, err
	}
	entries, err := openArchive(file, size)
	if err != nil {
		return nil, err
	}
	text, err := entries.content("data.pkl")
	if err != nil {
		return nil, err
	}
	u := unpickler{storages: make(map[string]*storage)}
	root, err := u.load(text)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	named, err := stateDict(root)
	if err != nil {
		return nil, err
	}
	total := int64(0)
	for _, s := range u.storages { // entries of the archive may overlap
		if s.count > size || s.bytes() > size-total {
			return nil, fmt.Errorf("storages take more than the file's %d bytes", size)
		}
		total += s.bytes()
	}
	return materialize(named, entries, size)
}

const (
	zipMagic = "PK\x03\x04"
	// legacyMagic is part of the first pickle of the format that torch.save wrote before PyTorch 1.6.
	legacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
)

var (
	errLegacy = errors.New("written in the legacy format of torch.save before PyTorch 1.6: " +
		"load it and save it again with torch.save in PyTorch 1.6 or later, or as model.safetensors")
	errNotTorch  = errors.New("not a file of torch.save, which is a zip archive")
	errBigEndian = errors.New("big-endian files are not supported")
)

// checkFormat returns an error unless the file is a zip archive.
func checkFormat(file io.ReaderAt) error {
	head := make([]byte, 32)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte(zipMagic)):
		return nil
	case bytes.Contains(head, []byte(legacyMagic)):
		return errLegacy
	}
	return errNotTorch
}

// archive holds the entries of the zip archive by their names below its single folder.
type archive map[string]*zip.File

func openArchive(file io.ReaderAt, size int64) (archive, error) {
	z, err := zip.NewReader(file, size)
	if err != nil {
		return nil, fmt.Errorf("zip archive, possibly truncated: %w", err)
	}
	entries := make(archive, len(z.File))
	for _, f := range z.File {
		_, name, _ := strings.Cut(f.Name, "/")
		entries[name] = f
	}
	if entries["byteorder"] != nil {
		order, err := entries.content("byteorder")
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, errBigEndian
		}
	}
	return entries, nil
}

// content reads an entry of at most maxPickle bytes.
func (a archive) content(name string) ([]byte, error) {
	f, err := a.entry(name)
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

// entry rejects compressed entries: PyTorch never writes them, and their size would be unbounded.
func (a archive) entry(name string) (*zip.File, error) {
	f, exists := a[name]
	if !exists {
		return nil, fmt.Errorf("zip entry %q is missing: damaged or not a PyTorch file", name)
	}
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
		return nil, fmt.Errorf("zip entry %q is compressed: not a PyTorch file", name)
	}
	return f, nil
}

// open opens the entry of a storage.
func (a archive) open(s *storage) (io.ReadCloser, error) {
	f, err := a.entry("data/" + s.key)
	if err != nil {
		return nil, err
	}
	if f.UncompressedSize64 != uint64(s.bytes()) {
		return nil, fmt.Errorf("zip entry has %d bytes, want %d", f.UncompressedSize64, s.bytes())
	}
	return f.Open()
}
