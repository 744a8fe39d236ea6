package torchfile

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"genrec/model/safetensors"
)

var (
	linear = []safetensors.Tensor{
		{Name: "weight", Shape: []int64{2, 3}, Data: []float32{0, 1, 2, 3, 4, 5}},
		{Name: "bias", Shape: []int64{2}, Data: []float32{-1.5, 0.25}},
	}
	exact = []safetensors.Tensor{
		{Name: "values", Shape: []int64{5}, Data: []float32{0.5, -2, 65504, 0x1p-24, float32(math.Inf(1))}},
	}
	rounded = []safetensors.Tensor{ // bfloat16 has 8 bits for 65504
		{Name: "values", Shape: []int64{5}, Data: []float32{0.5, -2, 65536, 0x1p-24, float32(math.Inf(1))}},
	}
	viewed = []safetensors.Tensor{
		{Name: "transposed", Shape: []int64{3, 2}, Data: []float32{0, 3, 1, 4, 2, 5}},
		{Name: "whole", Shape: []int64{2, 3}, Data: []float32{0, 1, 2, 3, 4, 5}},
		{Name: "row", Shape: []int64{3}, Data: []float32{3, 4, 5}},
		{Name: "column", Shape: []int64{2}, Data: []float32{2, 5}},
		{
			Name: "permuted", Shape: []int64{4, 2, 3},
			Data: []float32{0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23},
		},
		{Name: "expanded", Shape: []int64{2, 3}, Data: []float32{7, 7, 7, 8, 8, 8}},
		{Name: "scalar", Shape: []int64{}, Data: []float32{3}},
		{Name: "empty", Shape: []int64{0, 4}, Data: []float32{}},
	}
)

func fixture(name string) string { return filepath.Join("testdata", name+".bin") }

func TestReadFile(t *testing.T) {
	for name, want := range map[string][]safetensors.Tensor{
		"zip":       linear,
		"protocol3": linear,
		"protocol4": linear,
		"protocol5": linear,
		"half":      exact,
		"double":    exact,
		"bfloat16":  rounded,
		"views":     viewed,
	} {
		got, err := ReadFile(fixture(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestReadFileRejects(t *testing.T) {
	for name, want := range map[string]string{
		"legacy":     "legacy format of torch.save before PyTorch 1.6: load it and save it again",
		"long":       `tensor "positions" has a LongStorage`,
		"checkpoint": `entry "epoch"`,
		"module":     "class torch.nn.modules.linear.Linear",
		"list":       "instead of a state dict",
		"missing":    "no such file",
	} {
		_, err := ReadFile(fixture(name))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fixture(name)) {
			t.Errorf("%s: error %v, want one with %q and the path", name, err, want)
		}
	}
}

func content(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(fixture(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readBytes(data []byte) ([]safetensors.Tensor, error) {
	return read(bytes.NewReader(data), int64(len(data)))
}

func TestReadRejectsTruncatedFiles(t *testing.T) {
	whole := content(t, "zip")
	for n := range whole {
		if _, err := readBytes(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were read without an error", n, len(whole))
		}
	}
}

func TestReadRejectsOtherFormats(t *testing.T) {
	for _, text := range []string{"", "version https://git-lfs.github.com/spec/v1", "\x80\x02}q\x00."} {
		if _, err := readBytes([]byte(text)); err == nil || !strings.Contains(err.Error(), "not a file of torch.save") {
			t.Errorf("%q: error %v, want one that says what the file is not", text, err)
		}
	}
}

func TestReadRejectsWrongChecksum(t *testing.T) {
	data := content(t, "zip")
	at := bytes.Index(data, []byte{0, 0, 0xc0, 0xbf}) // -1.5
	if at < 0 {
		t.Fatal("the bias is not in the fixture: run testdata/make.py again")
	}
	data[at]++
	if _, err := readBytes(data); err == nil || !strings.Contains(err.Error(), `tensor "bias"`) {
		t.Errorf("error %v, want one that names the tensor", err)
	}
}

// zipFile is an archive of a pickle and of storage 0, of 4 bytes.
func zipFile(t testing.TB, text string, method uint16) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range []struct{ name, content string }{{"data.pkl", text}, {"data/0", "\x00\x00\x80\x3f"}} {
		header := &zip.FileHeader{Name: "x/" + e.name, Method: method}
		entry, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(entry, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// onePickle is a pickle of {"w": tensor} with storage 0 of so many elements.
func onePickle(class string, elements int32, offset int32, shape, stride string) string {
	number := func(n int32) string { return "J" + string([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}) }
	return "\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagec" + class + "\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" +
		number(elements) + "tQ" + number(offset) + shape + stride + "tRs."
}

func TestReadRejectsPickles(t *testing.T) {
	const float = "torch\nFloatStorage"
	first, err := readBytes(zipFile(t, onePickle(float, 1, 0, "(t", "(t"), zip.Store))
	if err != nil || len(first) != 1 || first[0].Data[0] != 1 {
		t.Fatalf("got %v and error %v, want one tensor, or the cases below prove nothing", first, err)
	}
	deep := "(" + strings.Repeat("K\x01", maxDimensions+1) + "t"
	for name, c := range map[string]struct{ text, want string }{
		"foreign class":          {"cos\nsystem\n(X\x04\x00\x00\x00true" + "tR.", "class os.system"},
		"many elements":          {onePickle(float, math.MaxInt32, 0, "(t", "(t"), "storages take more than"},
		"negative elements":      {onePickle(float, -1, 0, "(t", "(t"), "persistent ID"},
		"storage of other size":  {onePickle("torch\nHalfStorage", 1, 0, "(t", "(t"), "zip entry has 4 bytes, want 2"},
		"offset behind the end":  {onePickle(float, 1, 1, "(t", "(t"), "exceeds its storage"},
		"offset before the file": {onePickle(float, 1, -1, "(t", "(t"), "exceeds its storage"},
		"shape beyond":           {onePickle(float, 1, 0, "K\x02\x85", "K\x01\x85"), "exceeds its storage"},
		"negative stride":        {onePickle(float, 1, 0, "K\x02\x85", "J\xff\xff\xff\xff\x85"), "exceeds its storage"},
		"negative shape":         {onePickle(float, 1, 0, "J\xff\xff\xff\xff\x85", "K\x01\x85"), "shape [-1]"},
		"expanded without end":   {onePickle(float, 1, 0, "J\xff\xff\xff\x7f\x85", "K\x00\x85"), "more elements than the file"},
		"too many dimensions":    {onePickle(float, 1, 0, deep, deep), "tensor without storage"},
		"odd dictionary":         {"}(X\x01\x00\x00\x00wu.", "corrupt pickle"},
		"huge string":            {"X\xff\xff\xff\x7fa.", "truncated"},
		"huge frame":             {"\x80\x04\x95\xff\xff\xff\xff\xff\x00\x00\x00}.", "truncated"},
		"bytes":                  {"}X\x01\x00\x00\x00wC\x01as.", "opcode 0x43"},
		"key of another type":    {"}K\x01K\x01s.", "key of type int"},
		"no end":                 {"}", "truncated"},
	} {
		if _, err := readBytes(zipFile(t, c.text, zip.Store)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	long := "}" + strings.Repeat("0", maxPickle)
	if _, err := readBytes(zipFile(t, long, zip.Store)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("long pickle: error %v, want one about the limit", err)
	}
	if _, err := readBytes(zipFile(t, "}.", zip.Deflate)); err == nil || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("compressed archive: error %v, want one that says so", err)
	}
}

// A few bytes of pickle must not multiply the memory of a storage.
func TestReadBoundsCopies(t *testing.T) {
	var text strings.Builder
	text.WriteString("\x80\x02}(X\x02\x00\x00\x00w0ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00K\xc8\x85K\x00\x85tRq\x00")
	for i := range 10 {
		fmt.Fprintf(&text, "X\x02\x00\x00\x00x%dh\x00", i)
	}
	text.WriteString("u.")
	if _, err := readBytes(zipFile(t, text.String(), zip.Store)); err == nil || !strings.Contains(err.Error(), "the views up to it") {
		t.Errorf("error %v, want one about the views", err)
	}
}

func FuzzRead(f *testing.F) {
	paths, err := filepath.Glob(fixture("*"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no fixtures (%v): run testdata/make.py", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := readBytes(data)
		if err != nil {
			return
		}
		for _, tensor := range tensors {
			elements := int64(1)
			for _, n := range tensor.Shape {
				elements *= n
			}
			if elements != int64(len(tensor.Data)) {
				t.Fatalf("tensor %q has shape %v but %d elements", tensor.Name, tensor.Shape, len(tensor.Data))
			}
		}
	})
}

// FuzzPickle fuzzes the pickle alone, which FuzzRead cannot change because of the checksums.
func FuzzPickle(f *testing.F) {
	f.Add(onePickle("torch\nFloatStorage", 1, 0, "(t", "(t"))
	f.Add(onePickle("torch\nBFloat16Storage", 2, 1, "K\x01\x85", "K\x01\x85"))
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = readBytes(zipFile(t, text, zip.Store))
	})
}
