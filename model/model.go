// Package model is GenRec (arXiv 2407.21191): a BART encoder-decoder that reads
// a user's items as text and writes the text of the next one.
//
// A Model belongs to one goroutine that is locked to its OS thread, because
// libtorch keeps the gradient mode per thread.
package model

import (
	"fmt"
	"math"
	"path/filepath"

	"genrec/model/libtorch"
	"genrec/model/safetensors"
	"genrec/model/tensor"
)

// Names of the files that Save writes.
const (
	ConfigFile  = "config.json"
	WeightsFile = "model.safetensors"
)

// Model is a network with its weights on one device.
type Model struct {
	Config Config

	device  Device
	weights *parameters
	network *network
}

// New makes a model with random weights. One seed gives the same weights on
// every device.
func New(c Config, seed int64, device Device) (m *Model, err error) {
	defer tensor.Catch(&err)
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model configuration: %w", err)
	}
	libtorch.Seed(seed)
	return build(c, newParameters(device, true)), nil
}

// StartItems gives the ID embeddings of items the directions of vectors, item by item,
// nil for those that stay random. The rest of a longer embedding stays random, and each
// element comes to about the size of a random one.
func (m *Model) InitItems(vectors [][]float32) (err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	g := newGraph(m.device)
	defer g.Free()
	table := m.weights.byName[itemsName]
	weights := table.Floats() // (Items+1, D), row by row
	for i, vector := range vectors {
		row := weights[(i+1)*m.Config.Width:][:m.Config.Width]
		size := m.Config.InitStd * math.Sqrt(float64(len(vector)))
		for j := range min(len(vector), len(row)) {
			row[j] = vector[j] * float32(size)
		}
	}
	table.Set(g.Floats(weights, table.Shape()...))
	return nil
}

// SetEnsembleWeights changes how much each part counts.
func (m *Model) SetEnsembleWeights(w EnsembleWeights) { m.Config.EnsembleWeights = w }

func build(c Config, weights *parameters) *Model {
	return &Model{Config: c, device: weights.device, weights: weights, network: newNetwork(c, weights)}
}

// Save writes the configuration and the weights into a folder, which Hugging Face's
// transformers reads as a BartForConditionalGeneration with two tensors too many.
func (m *Model) Save(dir string) error {
	if err := m.Config.save(filepath.Join(dir, ConfigFile)); err != nil {
		return err
	}
	return m.SaveWeights(filepath.Join(dir, WeightsFile))
}

// SaveWeights writes the weights alone.
func (m *Model) SaveWeights(path string) (err error) {
	defer tensor.Catch(&err)
	return writeTensors(path, m.weights.named())
}

// LoadWeights reads what SaveWeights wrote of a model of the same configuration.
func (m *Model) LoadWeights(path string) (err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	return m.setAll(path, safetensors.ReadFile)
}

func writeTensors(path string, named []namedTensor) error {
	var tensors []safetensors.Tensor
	for _, t := range named {
		tensors = append(tensors, safetensors.Tensor{Name: t.name, Shape: t.Shape(), Data: t.Floats()})
	}
	return safetensors.WriteFile(path, tensors)
}

// Load reads a folder that Save wrote.
func Load(dir string, device Device) (*Model, error) {
	config, err := loadConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return nil, err
	}
	// Without random draws: the generator is the process's, and a training may be
	// using it.
	path, read := weightsOf(dir)
	return load(config, newParameters(device, false), path, read, logitsBiasName)
}

// LoadPretrained reads BART's weights from a Hugging Face folder, config.json with
// model.safetensors or pytorch_model.bin, and draws the ID tables, which BART lacks;
// those of a model that this package saved are left out.
func LoadPretrained(dir string, users, items int, seed int64, device Device) (*Model, error) {
	config, err := loadConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return nil, err
	}
	config.Users, config.Items = users, items
	libtorch.Seed(seed)
	path, read := weightsOf(dir)
	return load(config, newParameters(device, true), path, withoutTables(read), logitsBiasName, usersName, itemsName)
}

// PretrainedConfig reads the shape of a Hugging Face folder's BART.
func PretrainedConfig(dir string) (Config, error) { return loadConfig(filepath.Join(dir, ConfigFile)) }

func load(c Config, weights *parameters, path string, read readFile, optional ...string) (m *Model, err error) {
	defer tensor.Catch(&err)
	m = build(c, weights)
	if err := m.setAll(path, read, optional...); err != nil {
		m.Drop()
		return nil, err
	}
	return m, nil
}

// Parameters is the number of weights.
func (m *Model) Parameters() int {
	total := 0
	for _, t := range m.weights.byName {
		total += t.Elements()
	}
	return total
}

// Drop frees the weights.
func (m *Model) Drop() { m.weights.drop() }
