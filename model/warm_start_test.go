package model

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// After a warm start with different numbers, users and items have their previous embeddings, and all other
// weights are the same.
func TestWarmStartRemapsRows(t *testing.T) {
	ownThread(t)
	before, err := New(testConfig(20, 2, 3), 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Drop()
	dir := t.TempDir()
	if err := before.Save(dir); err != nil {
		t.Fatal(err)
	}
	after, err := New(testConfig(20, 3, 5), 2, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer after.Drop()
	after.Config.Dropout = 0.3 // need not be equal
	fresh := rows(after, itemsName)
	mapping := RowMapping{
		Users: []int{0, 2, 0, 1}, Items: []int{0, 3, 0, 1, 2, 0},
		Neighbors: [][]int{2: {1, 4}, 3: {1}, 5: nil}, // 3 is known and keeps its embedding
	}
	if err := after.WarmStart(dir, mapping); err != nil {
		t.Fatal(err)
	}
	for name, since := range map[string][]int{usersName: mapping.Users, itemsName: mapping.Items} {
		there, here := rows(before, name), rows(after, name)
		for n, from := range since {
			if (from > 0 || n == 0) && !slices.Equal(here[n], there[from]) {
				t.Errorf("%s: row %d is not the previous row %d", name, n, from)
			}
		}
	}
	items := rows(after, itemsName)
	if !slices.Equal(items[5], fresh[5]) {
		t.Error("a new item without neighbors does not keep its random embedding")
	}
	sum := make([]float32, len(items[2]))
	for d := range sum {
		sum[d] = items[1][d] + items[4][d]
	}
	cosine, length := 0.0, (norm(items[1])+norm(items[4]))/2
	for d, x := range items[2] {
		cosine += float64(x) * float64(sum[d]) / norm(items[2]) / norm(sum)
	}
	if math.Abs(cosine-1) > 1e-5 || math.Abs(norm(items[2])-length) > 1e-5 {
		t.Errorf("a new item has the cosine %.5f to the mean of its neighbors and the length %.5f, want 1 and %.5f", cosine, norm(items[2]), length)
	}
	for _, w := range after.weights.named() {
		if w.name != usersName && w.name != itemsName && !slices.Equal(w.Floats(), before.weights.byName[w.name].Floats()) {
			t.Errorf("%s was not loaded", w.name)
		}
	}
}

func rows(m *Model, table string) (all [][]float32) {
	for row := range slices.Chunk(m.weights.byName[table].Floats(), m.Config.Width) {
		all = append(all, row)
	}
	return all
}

func TestWarmStartErrors(t *testing.T) {
	ownThread(t)
	before, err := New(testConfig(20, 0, 3), 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Drop()
	dir := t.TempDir()
	if err := before.Save(dir); err != nil {
		t.Fatal(err)
	}
	warmStart := func(c Config, h RowMapping) error {
		m, err := New(c, 2, testDevice(t))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Drop()
		return m.WarmStart(dir, h)
	}
	whole := RowMapping{Users: []int{0}, Items: []int{0, 1, 2, 3}}
	if err := warmStart(testConfig(20, 0, 3), whole); err != nil {
		t.Errorf("the same shape is rejected: %v", err)
	}
	wider, larger := testConfig(20, 0, 3), testConfig(21, 0, 3)
	wider.EncoderFFN *= 2
	for want, c := range map[string]Config{"encoder_ffn_dim is 64 there and 128 here": wider, "vocab_size is 20 there and 21 here": larger} {
		if err := warmStart(c, whole); !errors.Is(err, ErrShapeMismatch) || !strings.HasSuffix(err.Error(), "differ in shape: "+want) {
			t.Errorf("error %v, want ErrShapeMismatch that ends in %q", err, want)
		}
	}
	for want, items := range map[string][]int{"2 of them have a number": {0, 1}, "begin from row 4": {0, 1, 2, 4}} {
		err := warmStart(testConfig(20, 0, 3), RowMapping{Users: []int{0}, Items: items})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("items %v: error %v, want one with %q", items, err, want)
		}
	}
}

func TestSmoothItems(t *testing.T) {
	ownThread(t)
	m, err := New(testConfig(20, 0, 4), 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	before := rows(m, itemsName)
	const share = 0.25
	if err := m.SmoothItems([][]int{1: {2, 3}, 2: {1}, 4: nil}, share); err != nil {
		t.Fatal(err)
	}
	after := rows(m, itemsName)
	for _, n := range []int{0, 3, 4} {
		if !slices.Equal(after[n], before[n]) {
			t.Errorf("item %d has no neighbors, but moved", n)
		}
	}
	sum := make([]float64, len(before[2]))
	for d := range sum {
		sum[d] = float64(before[2][d]) + float64(before[3][d])
	}
	length := 0.0
	for _, x := range sum {
		length += x * x
	}
	// As long as the neighbors are on average.
	stretch := (norm(before[2]) + norm(before[3])) / 2 / math.Sqrt(length)
	for d, x := range after[1] {
		if want := (1-share)*float64(before[1][d]) + share*stretch*sum[d]; math.Abs(float64(x)-want) > 1e-6 {
			t.Fatalf("element %d of item 1 is %.7f, want %.7f", d, x, want)
		}
	}
	// Item 1 counts with its embedding before it moved.
	for d, x := range after[2] {
		if want := (1-share)*before[2][d] + share*before[1][d]; math.Abs(float64(x-want)) > 1e-6 {
			t.Fatalf("element %d of item 2 is %.7f, want %.7f", d, x, want)
		}
	}
}
