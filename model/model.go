package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"genrec/model/libtorch"
	"genrec/model/safetensors"
	"genrec/model/tensor"
	"genrec/model/torchfile"
)

// Files of a model's folder.
const (
	ConfigFile  = "config.json"
	WeightsFile = "model.safetensors"
	// PyTorchFile holds the weights of a Hugging Face folder without a WeightsFile.
	PyTorchFile = "pytorch_model.bin"
)

// Model is a network with its weights on one device. It belongs to one goroutine, which is locked to its
// OS thread: libtorch keeps the gradient mode per thread.
type Model struct {
	// Config is the model's shape, with its ensemble weights.
	Config Config

	device  Device
	weights *parameters
	network *network
}

// New makes a model with random weights, which depend on the seed, but not on the device.
func New(c Config, seed int64, device Device) (m *Model, err error) {
	defer tensor.Catch(&err)
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model configuration: %w", err)
	}
	libtorch.Seed(seed)
	return build(c, newParameters(device, true)), nil
}

// SetEnsembleWeights sets the weights of the components in the score of an item.
func (m *Model) SetEnsembleWeights(w EnsembleWeights) { m.Config.EnsembleWeights = w }

func build(c Config, weights *parameters) *Model {
	return &Model{Config: c, device: weights.device, weights: weights, network: newNetwork(c, weights)}
}

// Save writes the configuration and the weights into a folder, which Hugging Face's
// transformers reads as a BartForConditionalGeneration with two unknown tensors.
func (m *Model) Save(dir string) error {
	if err := m.Config.save(filepath.Join(dir, ConfigFile)); err != nil {
		return err
	}
	return m.SaveWeights(filepath.Join(dir, WeightsFile))
}

// SaveWeights writes the weights only.
func (m *Model) SaveWeights(path string) (err error) {
	defer tensor.Catch(&err)
	return writeTensors(path, m.weights.named())
}

// LoadWeights reads what SaveWeights wrote for a model of the same configuration.
func (m *Model) LoadWeights(path string) (err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	return m.load(path, safetensors.ReadFile)
}

// Load reads a folder that Save wrote.
func Load(dir string, device Device) (*Model, error) {
	config, err := loadConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return nil, err
	}
	// Draws no random numbers: a training in the same process may be using the generator.
	path, read := weightsFile(dir)
	return loadModel(config, newParameters(device, false), path, read, logitsBiasName)
}

// LoadPretrained reads BART's weights from a Hugging Face folder, which has config.json with
// model.safetensors or pytorch_model.bin. The ID tables, which BART lacks, are random, also if the
// folder is one that Save wrote.
func LoadPretrained(dir string, users, items int, seed int64, device Device) (*Model, error) {
	config, err := loadConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return nil, err
	}
	config.Users, config.Items = users, items
	libtorch.Seed(seed)
	path, read := weightsFile(dir)
	return loadModel(config, newParameters(device, true), path, withoutTables(read), logitsBiasName, usersName, itemsName)
}

// ReadConfig reads the configuration of a model's folder: one that Save wrote, or Hugging Face's with a BART.
func ReadConfig(dir string) (Config, error) { return loadConfig(filepath.Join(dir, ConfigFile)) }

func loadModel(c Config, weights *parameters, path string, read readFile, optional ...string) (m *Model, err error) {
	defer tensor.Catch(&err)
	m = build(c, weights)
	if err := m.load(path, read, optional...); err != nil {
		m.Drop()
		return nil, err
	}
	return m, nil
}

// WithPrecision returns a copy in another precision, for inference only.
func (m *Model) WithPrecision(p Precision) (copied *Model, err error) {
	defer tensor.Catch(&err)
	return build(m.Config, m.weights.copyIn(p.kind())), nil
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

const (
	sharedName     = "model.shared.weight"
	logitsBiasName = "final_logits_bias"
	usersName      = "user_embedding.weight"
	itemsName      = "item_embedding.weight"
)

type readFile func(path string) ([]safetensors.Tensor, error)

// weightsFile finds the file with the weights in a folder.
func weightsFile(dir string) (path string, read readFile) {
	path = filepath.Join(dir, WeightsFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		other := filepath.Join(dir, PyTorchFile)
		if _, err := os.Stat(other); err == nil {
			return other, torchfile.ReadFile
		}
	}
	return path, safetensors.ReadFile
}

// withoutTables skips the ID tables, which belong to one catalog.
func withoutTables(read readFile) readFile {
	return func(path string) ([]safetensors.Tensor, error) {
		stored, err := read(path)
		return slices.DeleteFunc(stored, func(t safetensors.Tensor) bool { return t.Name == usersName || t.Name == itemsName }), err
	}
}

// canonical indexes tensors by their names in BartForConditionalGeneration.
func canonical(stored []safetensors.Tensor) (map[string]safetensors.Tensor, error) {
	tensors := make(map[string]safetensors.Tensor, len(stored))
	for _, t := range stored {
		name := canonicalName(t.Name)
		if same, exists := tensors[name]; exists && !slices.Equal(same.Data, t.Data) {
			return nil, fmt.Errorf("tensors %q and %q differ, but a model has one token table", same.Name, t.Name)
		}
		tensors[name] = t
	}
	return tensors, nil
}

// canonicalName maps the names that different versions of transformers write: a bare BartModel has no
// prefix, and the one token table may be stored under each of its uses.
func canonicalName(name string) string {
	for _, part := range []string{"shared.", "encoder.", "decoder."} {
		if strings.HasPrefix(name, part) {
			name = "model." + name
		}
	}
	switch name {
	case "lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight":
		return sharedName
	}
	return name
}

// load overwrites the weights by those of a file. The optional ones keep their values if the file lacks
// them.
func (m *Model) load(path string, read readFile, optional ...string) error {
	stored, err := read(path)
	if err != nil {
		return fmt.Errorf("load weights: %w", err)
	}
	tensors, err := canonical(stored)
	if err != nil {
		return fmt.Errorf("load weights from %s: %w", path, err)
	}
	s := newScope(m.device)
	defer s.Free()
	for _, name := range m.weights.names {
		t, found := tensors[name]
		delete(tensors, name)
		if !found && slices.Contains(optional, name) {
			continue
		}
		if !found {
			return fmt.Errorf("load weights from %s: tensor %q is missing", path, name)
		}
		if at := slices.IndexFunc(t.Data, notFinite); at >= 0 {
			return fmt.Errorf("load weights from %s: tensor %q contains %v: the training has failed", path, name, t.Data[at])
		}
		if err := m.weights.set(name, s.Floats(t.Data, t.Shape...)); err != nil {
			return fmt.Errorf("load weights from %s: %w", path, err)
		}
		s.Free()
	}
	for _, t := range tensors {
		return fmt.Errorf("load weights from %s: tensor %q is unknown to a model of this configuration", path, t.Name)
	}
	return nil
}

func notFinite(x float32) bool { return x-x != 0 }

func writeTensors(path string, named []namedTensor) error {
	var tensors []safetensors.Tensor
	for _, t := range named {
		tensors = append(tensors, safetensors.Tensor{Name: t.name, Shape: t.Shape(), Data: t.Floats()})
	}
	return safetensors.WriteFile(path, tensors)
}
