package torchfile

import (
	"fmt"
	"io"

	"github.com/nlpodyssey/gopickle/types"

	"genrec/model/safetensors"
)

// view is a tensor whose element at an index is that of the storage at the offset plus the sum of
// index times stride over the dimensions.
type view struct {
	name    string
	storage *storage
	offset  int64 // in elements, like stride
	shape   []int64
	stride  []int64
}

// stateDict returns the tensors of a decoded state dict, in its order.
func stateDict(root any) ([]*view, error) {
	var named []*view
	add := func(key, value any) error {
		name, ok := key.(string)
		if !ok {
			return fmt.Errorf("state dict has a key of type %T, want a string", key)
		}
		v, ok := value.(*view)
		if !ok {
			return fmt.Errorf("entry %q is not a tensor but %T: save only the state_dict() of the model", name, value)
		}
		if v.storage.elementType() == "" {
			return fmt.Errorf("tensor %q has a %s, but only floating-point tensors of 16, 32 or 64 bits are supported", name, v.storage.class)
		}
		copied := *v // one tensor may have several names
		copied.name = name
		named = append(named, &copied)
		return nil
	}
	switch dict := root.(type) {
	case *types.OrderedDict:
		for e := dict.List.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*types.OrderedDictEntry)
			if err := add(entry.Key, entry.Value); err != nil {
				return nil, err
			}
		}
	case *types.Dict:
		for _, entry := range *dict {
			if err := add(entry.Key, entry.Value); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("the file holds %T instead of a state dict", root)
	}
	return named, nil
}

// materialize reads the storages and returns contiguous tensors. Views that are not contiguous have
// to be copied, altogether at most as many elements as the file has bytes: a few bytes of pickle can
// define any number of copies.
func materialize(named []*view, from archive, fileBytes int64) ([]safetensors.Tensor, error) {
	tensors := make([]safetensors.Tensor, len(named))
	copies := fileBytes
	for i, v := range named {
		count, err := v.check(fileBytes)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", v.name, err)
		}
		if err := v.storage.read(from); err != nil {
			return nil, fmt.Errorf("tensor %q: storage %q: %w", v.name, v.storage.key, err)
		}
		t := safetensors.Tensor{Name: v.name, Shape: v.shape}
		switch {
		case count == 0:
			t.Data = []float32{}
		case v.contiguous():
			t.Data = v.storage.data[v.offset : v.offset+count : v.offset+count]
		case count > copies:
			return nil, fmt.Errorf("tensor %q: the views up to it have more elements than the file has bytes (%d)", v.name, fileBytes)
		default:
			copies -= count
			t.Data = appendElements(make([]float32, 0, count), v.storage.data, v.offset, v.shape, v.stride)
		}
		tensors[i] = t
	}
	return tensors, nil
}

// read reads the elements, once.
func (s *storage) read(from archive) error {
	if s.data != nil || s.count == 0 {
		return nil
	}
	r, err := from.open(s)
	if err != nil {
		return err
	}
	defer r.Close()
	data := make([]float32, s.count)
	if err := s.elementType().ReadFloats(r, data); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // the checksum is verified at the end
		return err
	}
	s.data = data
	return nil
}

// check returns the number of elements, which is at most limit, after checking that all are within the
// storage.
func (v *view) check(limit int64) (int64, error) {
	count := int64(1)
	for _, n := range v.shape {
		if n < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", v.shape)
		}
		if n == 0 {
			return 0, nil
		}
	}
	left := v.storage.count - 1 - v.offset // elements of the storage after the last one of the view
	for i, n := range v.shape {
		if n > limit/count {
			return 0, fmt.Errorf("shape %v has more elements than the file has bytes (%d)", v.shape, limit)
		}
		count *= n
		stride := v.stride[i]
		if stride < 0 || (stride > 0 && n-1 > max(left, 0)/stride) {
			left = -1
			break
		}
		left -= (n - 1) * stride
	}
	if v.offset < 0 || left < 0 {
		return 0, fmt.Errorf("shape %v with stride %v at offset %d exceeds its storage of %d elements", v.shape, v.stride, v.offset, v.storage.count)
	}
	return count, nil
}

// contiguous reports whether the elements are consecutive in the storage.
func (v *view) contiguous() bool {
	want := int64(1)
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] != 1 && v.stride[i] != want {
			return false
		}
		want *= v.shape[i]
	}
	return true
}

// appendElements appends the elements of a view, row by row.
func appendElements(rows, data []float32, offset int64, shape, stride []int64) []float32 {
	if len(shape) == 0 {
		return append(rows, data[offset])
	}
	for i := range shape[0] {
		rows = appendElements(rows, data, offset+i*stride[0], shape[1:], stride[1:])
	}
	return rows
}
