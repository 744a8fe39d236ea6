// Package model is GenRec (arXiv 2407.21191): a BART encoder-decoder that reads
// a user's items as text and writes the text of the next one.
//
// A Model belongs to one goroutine that is locked to its OS thread, because
// libtorch keeps the gradient mode per thread.
package model

import (
	"fmt"
	"os"
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

func build(c Config, weights *parameters) *Model {
	return &Model{Config: c, device: weights.device, weights: weights, network: newNetwork(c, weights)}
}

// Save writes the configuration and the weights into a folder.
func (m *Model) Save(dir string) (err error) {
	defer tensor.Catch(&err)
	if err := m.Config.save(filepath.Join(dir, ConfigFile)); err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	for _, name := range m.weights.names {
		t := m.weights.byName[name]
		tensors = append(tensors, safetensors.Tensor{Name: name, Shape: t.Shape(), Data: t.Floats()})
	}
	path := filepath.Join(dir, WeightsFile)
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write weights: %w", err)
	}
	if err := safetensors.Write(file, tensors); err != nil {
		file.Close()
		return fmt.Errorf("write weights to %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write weights to %s: %w", path, err)
	}
	return nil
}

// Load reads a folder that Save wrote.
func Load(dir string, device Device) (m *Model, err error) {
	defer tensor.Catch(&err)
	config, err := loadConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, WeightsFile)
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	defer file.Close()
	stored, err := safetensors.Read(file)
	if err != nil {
		return nil, fmt.Errorf("read weights from %s: %w", path, err)
	}
	// Without random draws: the generator is the process's, and a training may be
	// using it.
	m = build(config, newParameters(device, false))
	g := newGraph(device, 0)
	defer g.Free()
	tensors := make(map[string]*tensor.Tensor, len(stored))
	for _, t := range stored {
		tensors[t.Name] = g.Floats(t.Data, t.Shape...)
	}
	if err := m.weights.set(tensors); err != nil {
		m.Drop()
		return nil, fmt.Errorf("load weights from %s: %w", path, err)
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
