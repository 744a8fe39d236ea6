package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
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
		{Name: "longer than a chunk", Shape: []int64{chunkBytes}, Data: make([]float32, chunkBytes)},
	}
	for i := range want[3].Data {
		want[3].Data[i] = float32(i)
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	var file bytes.Buffer
	if err := Write(&file, want); err != nil {
		t.Fatal(err)
	}
	if (binary.LittleEndian.Uint64(file.Bytes())+8)%8 != 0 {
		t.Error("the data must begin at a multiple of 8 bytes")
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the tensors read differ from those written")
	}
}

func TestReadFileErrorsNameFileAndTensor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: error %v, want one with the path", err)
	}
	data := file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "xx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), `tensor "a"`) {
		t.Errorf("truncated file: error %v, want one with the path and the tensor", err)
	}
}

func TestWriteRejectsInvalidTensors(t *testing.T) {
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

func readBytes(data []byte) ([]Tensor, error) {
	return Read(bytes.NewReader(data), int64(len(data)))
}

func TestReadTypes(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		kind Type
		data []byte
		want []float32
	}{
		{F16, []byte{0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00, 0xff, 0x83, 0x00, 0x04}, []float32{1, -2, 65504, 0x1p-24, -0x1.ff8p-15, 0x1p-14}},
		{F16, []byte{0x00, 0x7c, 0x00, 0xfc, 0x00, 0x00}, []float32{inf, -inf, 0}},
		{BF16, []byte{0x80, 0x3f, 0x00, 0xc0, 0x80, 0x7f}, []float32{1, -2, inf}},
		{F32, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, []float32{1, -2}},
		{F64, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f}, []float32{1, 0.1}},
	} {
		header := fmt.Sprintf(`{"a":{"dtype":%q,"shape":[%d],"data_offsets":[0,%d]}}`, c.kind, len(c.want), len(c.data))
		got, err := readBytes(file(header, string(c.data)))
		if err != nil {
			t.Errorf("%s: %v", c.kind, err)
		} else if !slices.Equal(got[0].Data, c.want) {
			t.Errorf("%s: got %v, want %v", c.kind, got[0].Data, c.want)
		}
	}
	if nan := fromHalf(0x7e00); nan == nan {
		t.Errorf("float16 NaN became %v", nan)
	}
	if zero := fromHalf(0x8000); !math.Signbit(float64(zero)) {
		t.Error("float16 -0 lost its sign")
	}
}

func TestReadOrder(t *testing.T) {
	got, err := readBytes(file(`{"b":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]},"none":{"dtype":"F32","shape":[0],"data_offsets":[2,2]},`+
		`"a":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, "\x80\x3f\x00\x00\x00\x40"))
	want := []Tensor{
		{Name: "b", Shape: []int64{1}, Data: []float32{1}},
		{Name: "none", Shape: []int64{0}, Data: []float32{}},
		{Name: "a", Shape: []int64{1}, Data: []float32{2}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v and error %v, want %v", got, err, want)
	}
}

func TestReadRejectsInvalidFiles(t *testing.T) {
	const first = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "header length"},
		{"a huge header", []byte("\xff\xff\xff\xff\xff\xff\xff\x7f"), "not a safetensors file"},
		{"a header longer than the file", []byte("\xff\xff\xff\x03\x00\x00\x00\x00"), "not a safetensors file"},
		{"a truncated header", file(`{}`, "")[:9], "truncated"},
		{"no JSON", file(`hello`, ""), "header"},
		{"another type", file(`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, "xxxxxxxx"), `tensor "a": type "I64"`},
		{"truncated data", file(`{`+first+`}`, "xx"), `tensor "a" ends`},
		{"a huge tensor", file(`{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}`, "xxxx"), `tensor "a" ends`},
		{"decreasing offsets", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, "xxxx"), "offsets"},
		{"a negative offset", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, "xxxx"), "offsets"},
		{"a shape that does not fit", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}`, "xxxx"), "shape"},
		{"a shape that overflows", file(`{"a":{"dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,4]}}`, "xxxx"), "shape"},
		{"an overlap", file(`{`+first+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, "xxxxxx"), `tensor "b" begins at byte 2 of the data, overlapping`},
		{"a gap", file(`{`+first+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[6,10]}}`, "xxxxxxxxxx"), `tensor "b" begins at byte 6 of the data, after a gap`},
		{"trailing bytes", file(`{`+first+`}`, "xxxxyy"), "2 bytes after"},
	} {
		if _, err := readBytes(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	whole := file(`{`+first+`}`, "xxxx")
	if _, err := Read(bytes.NewReader(whole[:len(whole)-4]), int64(len(whole))); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), `tensor "a"`) {
		t.Errorf("input shorter than announced: error %v, want an unexpected EOF that names the tensor", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "xxxx"))
	f.Add(file(`{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"F64","shape":[],"data_offsets":[2,10]}}`, "xxxxxxxxxx"))
	f.Add(file(`{"__metadata__":{"format":"pt"}}`, ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := readBytes(data)
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

func BenchmarkReadFloats(b *testing.B) {
	floats := make([]float32, 16<<20)
	for _, kind := range []Type{F16, BF16, F32, F64} {
		b.Run(string(kind), func(b *testing.B) {
			data := make([]byte, int64(len(floats))*kind.Size())
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := kind.ReadFloats(bytes.NewReader(data), floats); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
