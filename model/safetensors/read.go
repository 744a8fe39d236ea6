package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// ReadFile is Read on a file.
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

// Read returns the tensors in the order of their bytes, as float32 whatever the type
// they are stored in. The size is that of the whole input in bytes; nothing is
// allocated for tensors that would not fit it.
func Read(r io.Reader, size int64) ([]Tensor, error) {
	header, length, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	entries, err := layOut(header, size-length)
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

// readHeader also returns how many bytes it read.
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
		return nil, 0, fmt.Errorf("header of %d bytes in a file of %d: cut short or not a safetensors file", announced, size)
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

// layOut sorts the tensors by their offsets and checks that they fill the data without
// gap or overlap, as the format demands.
func layOut(header map[string]json.RawMessage, dataBytes int64) ([]namedEntry, error) {
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
			cmp.Compare(a.Offsets[1], b.Offsets[1]), // an empty tensor before the one that begins there
			cmp.Compare(a.name, b.name),
		)
	})
	end := int64(0)
	for _, e := range entries {
		switch from := e.Offsets[0]; {
		case from < end:
			return nil, fmt.Errorf("tensor %q begins at byte %d of the data, inside the one before, which ends at %d", e.name, from, end)
		case from > end:
			return nil, fmt.Errorf("tensor %q begins at byte %d of the data, with a gap behind the one before, which ends at %d", e.name, from, end)
		}
		end = e.Offsets[1]
		if end > dataBytes {
			return nil, fmt.Errorf("tensor %q ends at byte %d of the data, but the file has only %d: it is cut short", e.name, end, dataBytes)
		}
	}
	if end < dataBytes {
		return nil, fmt.Errorf("%d bytes behind the last tensor", dataBytes-end)
	}
	return entries, nil
}

func (e entry) check() error {
	size := e.Type.Size()
	if size == 0 {
		return fmt.Errorf("type %q, only %s, %s, %s and %s can be read", e.Type, F16, BF16, F32, F64)
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from < 0 || to < from {
		return fmt.Errorf("offsets %d to %d", from, to)
	}
	if count := elements(e.Shape); count < 0 || (to-from)%size != 0 || count != (to-from)/size {
		return fmt.Errorf("shape %v of type %s does not fit %d bytes", e.Shape, e.Type, to-from)
	}
	return nil
}
