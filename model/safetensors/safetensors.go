// Package safetensors reads and writes tensors in the safetensors format of Hugging Face: the length
// of the header in 8 bytes, the header in JSON, and the elements of the tensors, all little-endian.
//
// In memory all tensors are float32. They are written as F32 and read from any floating-point type of
// 16, 32 or 64 bits. A reader checks the header completely before it allocates memory for tensors, so
// that a corrupt file cannot claim more than its size.
package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// Tensor is a named tensor.
type Tensor struct {
	// Name identifies the tensor in its file.
	Name string
	// Shape holds the size of each dimension, none for a scalar.
	Shape []int64
	// Data holds the elements, row by row.
	Data []float32
}

const (
	maxHeader   = 100 << 20 // bytes, the limit of the reference implementation
	lengthBytes = 8
	metadataKey = "__metadata__"
)

// entry describes a tensor in the header. Offsets are its first byte and the one after its last byte,
// from the end of the header.
type entry struct {
	Type    Type     `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// WriteFile writes tensors to a file and syncs it to disk.
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

// Write writes tensors as F32, in the given order.
func Write(w io.Writer, tensors []Tensor) error {
	header := make(map[string]any, len(tensors)+1)
	header[metadataKey] = map[string]string{"format": "pt"} // transformers rejects files without it
	offset := int64(0)
	for _, t := range tensors {
		if elements(t.Shape) != int64(len(t.Data)) {
			return fmt.Errorf("tensor %q has shape %v but %d elements", t.Name, t.Shape, len(t.Data))
		}
		if _, exists := header[t.Name]; exists {
			return fmt.Errorf("tensor %q is given twice", t.Name)
		}
		end := offset + int64(len(t.Data))*F32.Size()
		header[t.Name] = entry{Type: F32, Shape: t.Shape, Offsets: [2]int64{offset, end}}
		offset = end
	}
	text, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("encode header: %w", err)
	}
	for len(text)%8 != 0 { // aligns the tensors for memory mapping
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

// ReadFile reads the tensors of a file.
func ReadFile(path string) ([]Tensor, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read tensors: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read tensors: %w", err)
	}
	tensors, err := Read(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read tensors from %s: %w", path, err)
	}
	return tensors, nil
}

// Read returns the tensors in the order of their data. size is that of the whole input in bytes.
func Read(r io.Reader, size int64) ([]Tensor, error) {
	header, length, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	entries, err := parseEntries(header, size-length)
	if err != nil {
		return nil, err
	}
	tensors := make([]Tensor, len(entries))
	for i, e := range entries {
		t := Tensor{Name: e.name, Shape: e.Shape, Data: make([]float32, elements(e.Shape))}
		if err := e.Type.ReadFloats(r, t.Data); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", e.name, err)
		}
		tensors[i] = t
	}
	return tensors, nil
}

// readHeader also returns the number of bytes that it has read.
func readHeader(r io.Reader, size int64) (header map[string]json.RawMessage, length int64, err error) {
	var announced uint64
	if err := binary.Read(r, binary.LittleEndian, &announced); err != nil {
		return nil, 0, fmt.Errorf("header length: %w", err)
	}
	if announced > maxHeader {
		return nil, 0, fmt.Errorf("header of %d bytes, limit %d: not a safetensors file", announced, maxHeader)
	}
	length = lengthBytes + int64(announced)
	if length > size {
		return nil, 0, fmt.Errorf("header of %d bytes in a file of %d: truncated or not a safetensors file", announced, size)
	}
	text := make([]byte, announced)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, 0, fmt.Errorf("header: %w", err)
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, 0, fmt.Errorf("header: %w", err)
	}
	return header, length, nil
}

type namedEntry struct {
	entry
	name string
}

// parseEntries returns the entries sorted by offset, after checking that they fill the data without
// gaps or overlaps, as the format requires.
func parseEntries(header map[string]json.RawMessage, dataBytes int64) ([]namedEntry, error) {
	var entries []namedEntry
	for name, raw := range header {
		if name == metadataKey {
			continue
		}
		e := namedEntry{name: name}
		if err := json.Unmarshal(raw, &e.entry); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b namedEntry) int {
		return cmp.Or(
			cmp.Compare(a.Offsets[0], b.Offsets[0]),
			cmp.Compare(a.Offsets[1], b.Offsets[1]), // an empty tensor precedes the one with the same offset
			cmp.Compare(a.name, b.name),
		)
	})
	end := int64(0)
	for _, e := range entries {
		switch from := e.Offsets[0]; {
		case from < end:
			return nil, fmt.Errorf("tensor %q begins at byte %d of the data, overlapping the previous one, which ends at %d", e.name, from, end)
		case from > end:
			return nil, fmt.Errorf("tensor %q begins at byte %d of the data, after a gap: the previous one ends at %d", e.name, from, end)
		}
		end = e.Offsets[1]
		if end > dataBytes {
			return nil, fmt.Errorf("tensor %q ends at byte %d of the data, but the file has only %d: it is truncated", e.name, end, dataBytes)
		}
	}
	if end < dataBytes {
		return nil, fmt.Errorf("%d bytes after the last tensor", dataBytes-end)
	}
	return entries, nil
}

// check validates the type, and the shape against the offsets.
func (e entry) check() error {
	size := e.Type.Size()
	if size == 0 {
		return fmt.Errorf("type %q, but only %s, %s, %s and %s are supported", e.Type, F16, BF16, F32, F64)
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from < 0 || to < from {
		return fmt.Errorf("invalid offsets %d to %d", from, to)
	}
	if count := elements(e.Shape); count < 0 || (to-from)%size != 0 || count != (to-from)/size {
		return fmt.Errorf("shape %v of type %s does not fit %d bytes", e.Shape, e.Type, to-from)
	}
	return nil
}

// elements is the number of elements of a shape, or -1 if it is negative or overflows.
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
