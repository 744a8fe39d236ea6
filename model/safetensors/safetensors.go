// Package safetensors reads and writes float32 tensors in the safetensors format:
// eight bytes of header length, a JSON header, then the tensors' bytes, all
// little-endian.
package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// Tensor is a named tensor with its elements row by row.
type Tensor struct {
	Name  string
	Shape []int64
	Data  []float32
}

const (
	maxHeader    = 100 << 20 // the limit of the reference implementation
	metadataKey  = "__metadata__"
	float32Type  = "F32"
	float32Bytes = 4
)

type entry struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// Write stores tensors in the order given.
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
		end := offset + int64(len(t.Data))*float32Bytes
		header[t.Name] = entry{Type: float32Type, Shape: t.Shape, Offsets: [2]int64{offset, end}}
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

// Read returns the tensors in no particular order.
func Read(r io.Reader) ([]Tensor, error) {
	var length uint64
	if err := binary.Read(r, binary.LittleEndian, &length); err != nil {
		return nil, fmt.Errorf("header length: %w", err)
	}
	if length > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, limit %d: not a safetensors file", length, maxHeader)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if uint64(len(text)) < length {
		return nil, fmt.Errorf("header: %w", io.ErrUnexpectedEOF)
	}
	var header map[string]json.RawMessage
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	var tensors []Tensor
	for name, raw := range header {
		if name == metadataKey {
			continue
		}
		t, err := decode(name, raw, data)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}

func decode(name string, raw json.RawMessage, data []byte) (Tensor, error) {
	var e entry
	if err := json.Unmarshal(raw, &e); err != nil {
		return Tensor{}, err
	}
	if e.Type != float32Type {
		return Tensor{}, fmt.Errorf("type %s, only %s can be read", e.Type, float32Type)
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from < 0 || to < from || to > int64(len(data)) {
		return Tensor{}, fmt.Errorf("offsets %d to %d lie outside of %d bytes of data", from, to, len(data))
	}
	count := elements(e.Shape)
	if count < 0 || (to-from)%float32Bytes != 0 || count != (to-from)/float32Bytes {
		return Tensor{}, fmt.Errorf("shape %v does not fit %d bytes", e.Shape, to-from)
	}
	t := Tensor{Name: name, Shape: e.Shape, Data: make([]float32, count)}
	for i := range t.Data {
		t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[from+int64(i)*float32Bytes:]))
	}
	return t, nil
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
