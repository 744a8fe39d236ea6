package safetensors

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	want := []Tensor{
		{Name: "a.weight", Shape: []int64{2, 3}, Data: []float32{1, 2, 3, 4, 5, 6}},
		{Name: "empty", Shape: []int64{0, 4}, Data: []float32{}},
		{Name: "scalar", Shape: []int64{}, Data: []float32{-0.5}},
	}
	var file bytes.Buffer
	if err := Write(&file, want); err != nil {
		t.Fatal(err)
	}
	if (binary.LittleEndian.Uint64(file.Bytes())+8)%8 != 0 {
		t.Error("the data must begin at a multiple of 8 bytes")
	}
	got, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, tensors := range map[string][]Tensor{
		"wrong shape": {{Name: "a", Shape: []int64{2}, Data: []float32{1}}},
		"same name":   {{Name: "a", Shape: []int64{1}, Data: []float32{1}}, {Name: "a", Shape: []int64{1}, Data: []float32{1}}},
	} {
		if err := Write(&bytes.Buffer{}, tensors); err == nil || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%s: error %v, want one that names the tensor", name, err)
		}
	}
}

func file(header, data string) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, uint64(len(header)))
	b.WriteString(header + data)
	return b.Bytes()
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "header length"},
		{"a huge header", []byte("\xff\xff\xff\xff\xff\xff\xff\x7f"), "not a safetensors file"},
		{"a cut header", file(`{}`, "")[:9], "unexpected EOF"},
		{"no JSON", file(`hello`, ""), "header"},
		{"another type", file(`{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}`, "xx"), "F16"},
		{"cut data", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "xx"), "outside"},
		{"offsets that go back", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, "xxxx"), "outside"},
		{"a shape that does not fit", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}`, "xxxx"), "shape"},
		{"a shape that overflows", file(`{"a":{"dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,4]}}`, "xxxx"), "shape"},
	} {
		if _, err := Read(bytes.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "xxxx"))
	f.Add(file(`{"__metadata__":{"format":"pt"}}`, ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, tensor := range tensors {
			if elements(tensor.Shape) != int64(len(tensor.Data)) {
				t.Fatalf("tensor %q has shape %v but %d elements", tensor.Name, tensor.Shape, len(tensor.Data))
			}
		}
	})
}
