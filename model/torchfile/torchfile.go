// Package torchfile reads the state dicts that torch.save writes, such as
// pytorch_model.bin: the zip archive of PyTorch 1.6 and later, and the legacy format
// before it.
//
// A state dict is a pickle. It is decoded as data: nothing that it names is executed,
// and a class that a state dict does not need is an error.
package torchfile

import (
	"fmt"
	"io"
	"os"

	"genrec/model/safetensors"
)

// source is where the storages of a state dict lie.
type source interface {
	open(s *storage) (io.ReadCloser, error)
}

// ReadFile returns the tensors of a state dict in the file's order, as float32
// whatever floating-point type they are stored in. Tensors that share a storage in the
// file may share their memory.
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
	load := loadLegacy
	if isZip(file) {
		load = loadZip
	}
	named, from, err := load(file, size)
	if err != nil {
		return nil, err
	}
	return materialize(named, from, size)
}
