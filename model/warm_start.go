package model

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"genrec/model/safetensors"
	"genrec/model/tensor"
	"genrec/pkg/parallel"
)

// RowMapping maps the rows of a previous model's ID tables to those of a new one.
type RowMapping struct {
	// Users and Items are the previous numbers of users and items by their new numbers; 0 if they are new.
	Users, Items []int
	// Neighbors are known items, by new numbers, for each item number: the embedding of a new item starts
	// at their mean.
	Neighbors [][]int
}

// ErrShapeMismatch is returned by WarmStart if the previous weights do not fit.
var ErrShapeMismatch = errors.New("the models differ in shape")

// WarmStart takes the weights from the folder of a previous model, which may have other users and items.
// New users, and new items without neighbors, keep their random embeddings.
func (m *Model) WarmStart(dir string, h RowMapping) (err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	previous, err := loadConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return err
	}
	if differences := previous.differences(m.Config); len(differences) > 0 {
		return fmt.Errorf("warm start from %s: %w: %s", dir, ErrShapeMismatch, strings.Join(differences, ", "))
	}
	path, read := weightsFile(dir)
	stored, err := read(path)
	if err != nil {
		return fmt.Errorf("warm start: %w", err)
	}
	for i, t := range stored {
		switch canonicalName(t.Name) {
		case usersName:
			stored[i], err = m.remap(t, h.Users, nil)
		case itemsName:
			stored[i], err = m.remap(t, h.Items, h.Neighbors)
		}
		if err != nil {
			return fmt.Errorf("warm start from %s: %w", path, err)
		}
	}
	return m.load(path, func(string) ([]safetensors.Tensor, error) { return stored, nil }, logitsBiasName)
}

// compatibleFields may differ between two models whose weights fit each other: the sizes of the ID tables,
// and settings of training and ranking.
var compatibleFields = []string{"Users", "Items", "EnsembleWeights", "PathWeight", "InitStd", "Dropout", "AttentionDropout", "ActivationDropout"}

// differences lists why weights of one configuration do not fit another one.
func (c Config) differences(other Config) (named []string) {
	previous, current := reflect.ValueOf(c), reflect.ValueOf(other)
	for i := range previous.NumField() {
		field, a, b := previous.Type().Field(i), previous.Field(i).Interface(), current.Field(i).Interface()
		if a != b && !slices.Contains(compatibleFields, field.Name) {
			named = append(named, fmt.Sprintf("%s is %v there and %v here", field.Tag.Get("json"), a, b))
		}
	}
	return named
}

// remap moves the rows of a previous ID table to their new numbers.
func (m *Model) remap(previous safetensors.Tensor, numbers []int, neighbors [][]int) (safetensors.Tensor, error) {
	current := m.weights.byName[previous.Name]
	width := m.Config.Width
	if len(previous.Shape) != 2 || previous.Shape[1] != int64(width) || int64(len(numbers)) != current.Shape()[0] {
		return previous, fmt.Errorf("tensor %q has shape %v, the configuration asks for rows of %d, and %d of them have a number",
			previous.Name, previous.Shape, width, len(numbers))
	}
	table := current.Floats()
	row := func(table []float32, n int) []float32 { return table[n*width:][:width] }
	for n, number := range numbers {
		if int64(number) >= previous.Shape[0] {
			return previous, fmt.Errorf("tensor %q has %d rows, but number %d is to begin from row %d", previous.Name, previous.Shape[0], n, number)
		}
		if number > 0 {
			copy(row(table, n), row(previous.Data, number))
		}
	}
	for n, similar := range neighbors {
		if len(similar) > 0 && numbers[n] == 0 {
			meanRow(row(table, n), table, similar)
		}
	}
	return safetensors.Tensor{Name: previous.Name, Shape: current.Shape(), Data: table}, nil
}

// meanRow sets a vector to the mean of rows of a table, scaled to their mean length: the plain mean would
// be shorter, and a shorter embedding is a less likely item.
func meanRow(into, table []float32, rows []int) {
	clear(into)
	length := 0.0
	for _, n := range rows {
		row := table[n*len(into):][:len(into)]
		for d, x := range row {
			into[d] += x
		}
		length += norm(row) / float64(len(rows))
	}
	if sum := norm(into); sum > 0 {
		for d := range into {
			into[d] *= float32(length / sum)
		}
	}
}

func norm(x []float32) float64 {
	squared := 0.0
	for _, v := range x {
		squared += float64(v) * float64(v)
	}
	return math.Sqrt(squared)
}

// SmoothItems moves the embedding of each item a share of the way to the mean of its neighbors, given by
// item number (Laplacian smoothing): it reduces what was memorized for one item, and keeps what similar
// items have in common.
func (m *Model) SmoothItems(neighbors [][]int, share float64) (err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	scope := newScope(m.device)
	defer scope.Free()
	table, width := m.weights.byName[itemsName], m.Config.Width
	before := table.Floats() // (Items+1, D), row by row
	after := slices.Clone(before)
	parallel.ForBlocks(len(neighbors), func(from, to int) {
		mean := make([]float32, width)
		for n := from; n < to; n++ {
			if len(neighbors[n]) == 0 {
				continue
			}
			meanRow(mean, before, neighbors[n])
			for d, x := range mean {
				after[n*width+d] += float32(share) * (x - before[n*width+d])
			}
		}
	})
	table.Set(scope.Floats(after, table.Shape()...))
	return nil
}

// InitItems starts the embeddings of items from vectors, item by item, nil for those that stay random.
// Dimensions beyond a vector's stay random; an element gets about the size of a random one.
func (m *Model) InitItems(vectors [][]float32) (err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	s := newScope(m.device)
	defer s.Free()
	table := m.weights.byName[itemsName]
	weights := table.Floats() // (Items+1, D), row by row
	for i, vector := range vectors {
		row := weights[(i+1)*m.Config.Width:][:m.Config.Width]
		size := m.Config.InitStd * math.Sqrt(float64(len(vector)))
		for j := range min(len(vector), len(row)) {
			row[j] = vector[j] * float32(size)
		}
	}
	table.Set(s.Floats(weights, table.Shape()...))
	return nil
}
