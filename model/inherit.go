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
)

// RowMapping says which rows of another model's ID tables belong to whom here.
type RowMapping struct {
	// Users and Items are their numbers there, by their numbers here: 0 for new ones.
	Users, Items []int
	// Neighbors are known items, as numbers here, by item number: a new one begins among them.
	Neighbors [][]int
}

// ErrShapeMismatch says that one model cannot take over the weights of another one.
var ErrShapeMismatch = errors.New("the models differ in shape")

// WarmStart takes over the weights of a model that Save wrote, which may know other users and
// items. New users, and new items without neighbors, keep what they have here.
func (m *Model) WarmStart(dir string, h RowMapping) (err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	theirs, err := loadConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return err
	}
	if differences := theirs.differences(m.Config); len(differences) > 0 {
		return fmt.Errorf("inherit from %s: %w: %s", dir, ErrShapeMismatch, strings.Join(differences, ", "))
	}
	path, read := weightsOf(dir)
	stored, err := read(path)
	if err != nil {
		return fmt.Errorf("inherit weights: %w", err)
	}
	for i, t := range stored {
		switch canonicalName(t.Name) {
		case usersName:
			stored[i], err = m.moved(t, h.Users, nil)
		case itemsName:
			stored[i], err = m.moved(t, h.Items, h.Neighbors)
		}
		if err != nil {
			return fmt.Errorf("inherit weights from %s: %w", path, err)
		}
	}
	return m.setAll(path, func(string) ([]safetensors.Tensor, error) { return stored, nil }, logitsBiasName)
}

// freely are the fields in which two models may differ though the weights of one fit the
// other: the sizes of the ID tables, and what matters while it learns or answers alone.
var freely = []string{"Users", "Items", "EnsembleWeights", "InitStd", "Dropout", "AttentionDropout", "ActivationDropout"}

// differences names what keeps the weights of a model from fitting another one.
func (c Config) differences(other Config) (named []string) {
	there, here := reflect.ValueOf(c), reflect.ValueOf(other)
	for i := range there.NumField() {
		field, a, b := there.Type().Field(i), there.Field(i).Interface(), here.Field(i).Interface()
		if a != b && !slices.Contains(freely, field.Name) {
			named = append(named, fmt.Sprintf("%s is %v there and %v here", field.Tag.Get("json"), a, b))
		}
	}
	return named
}

// moved puts the rows of another model's table where they belong here.
func (m *Model) moved(there safetensors.Tensor, since []int, neighbors [][]int) (safetensors.Tensor, error) {
	here := m.weights.byName[there.Name]
	width := m.Config.Width
	if len(there.Shape) != 2 || there.Shape[1] != int64(width) || int64(len(since)) != here.Shape()[0] {
		return there, fmt.Errorf("tensor %q has shape %v, the configuration asks for rows of %d, and %d of them have a number",
			there.Name, there.Shape, width, len(since))
	}
	table := here.Floats()
	row := func(of []float32, n int) []float32 { return of[n*width:][:width] }
	for n, before := range since {
		if int64(before) >= there.Shape[0] {
			return there, fmt.Errorf("tensor %q has %d rows, but number %d is to begin from row %d", there.Name, there.Shape[0], n, before)
		}
		if before > 0 {
			copy(row(table, n), row(there.Data, before))
		}
	}
	for n, near := range neighbors {
		if len(near) > 0 && since[n] == 0 {
			between(row(table, n), table, near)
		}
	}
	return safetensors.Tensor{Name: there.Name, Shape: here.Shape(), Data: table}, nil
}

// between sets a vector to the middle of rows of a table, as long as they are on average: their
// mean alone would be shorter, and a shorter embedding is a less likely item.
func between(into, table []float32, rows []int) {
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
