// Package safetensors reads and writes tensors in the safetensors format: eight bytes
// of header length, a JSON header, then the tensors' bytes, all little-endian.
package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Tensor is a named tensor with its elements row by row.
type Tensor struct {
	Name  string
	Shape []int64
	Data  []float32
}

const (
	maxHeader   = 100 << 20 // the limit of the reference implementation
	lengthBytes = 8
	metadataKey = "__metadata__"
)

type entry struct {
	Type    Type     `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// WriteFile is Write into a file, down to the disk.
func WriteFile(path string, tensors []Tensor) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write tensors: %w", err)
	}
	if err := errors.Join(Write(file, tensors), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write tensors to %s: %w", path, err)
	}
	return nil
}

// Write stores tensors as F32 in the order given.
func Write(w io.Writer, tensors []Tensor) error {
	header := make(map[string]any, len(tensors)+1)
	header[metadataKey] = map[string]string{"format": "pt"} // transformers refuses files without it
	offset := int64(0)
	for _, t := range tensors {
		if elements(t.Shape) != int64(len(t.Data)) {
			return fmt.Errorf("tensor %q has shape %v but %d elements", t.Name, t.Shape, len(t.Data))
		}
		if _, exists := header[t.Name]; exists {
			return fmt.Errorf("tensor %q given twice", t.Name)
		}
		end := offset + int64(len(t.Data))*F32.Size()
		header[t.Name] = entry{Type: F32, Shape: t.Shape, Offsets: [2]int64{offset, end}}
		offset = end
	}
	text, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("encode header: %w", err)
	}
	for len(text)%8 != 0 { // aligned tensors can be memory-mapped
		text = append(text, ' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(text))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := binary.Write(w, binary.LittleEndian, t.Data); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// elements is the product of the dimensions, -1 when it cannot be that of a tensor.
func elements(shape []int64) int64 {
	product := int64(1)
	for _, n := range shape {
		if n < 0 || (n > 0 && product > math.MaxInt64/n) {
			return -1
		}
		product *= n
	}
	return product
}
