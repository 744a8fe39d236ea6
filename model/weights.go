package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"genrec/model/safetensors"
	"genrec/model/torchfile"
)

// PyTorchFile holds the weights of a Hugging Face folder without a WeightsFile.
const PyTorchFile = "pytorch_model.bin"

const (
	sharedName     = "model.shared.weight"
	logitsBiasName = "final_logits_bias"
	usersName      = "user_embedding.weight"
	itemsName      = "item_embedding.weight"
)

type readFile func(path string) ([]safetensors.Tensor, error)

// weightsOf finds the file of weights in a folder.
func weightsOf(dir string) (path string, read readFile) {
	path = filepath.Join(dir, WeightsFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		other := filepath.Join(dir, PyTorchFile)
		if _, err := os.Stat(other); err == nil {
			return other, torchfile.ReadFile
		}
	}
	return path, safetensors.ReadFile
}

// withoutTables leaves out the ID tables, which belong to one catalog.
func withoutTables(read readFile) readFile {
	return func(path string) ([]safetensors.Tensor, error) {
		stored, err := read(path)
		return slices.DeleteFunc(stored, func(t safetensors.Tensor) bool { return t.Name == usersName || t.Name == itemsName }), err
	}
}

// canonical puts tensors under the names that BartForConditionalGeneration gives them.
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

// canonicalName undoes the differences between the files that transformers has
// written over the years: a bare BartModel has no prefix, and the one token table
// may be stored under each of its uses.
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

// setAll overwrites the weights with those of a file. Those named in optional keep
// what they have where the file lacks them.
func (m *Model) setAll(path string, read readFile, optional ...string) error {
	stored, err := read(path)
	if err != nil {
		return fmt.Errorf("load weights: %w", err)
	}
	tensors, err := canonical(stored)
	if err != nil {
		return fmt.Errorf("load weights from %s: %w", path, err)
	}
	g := newGraph(m.device)
	defer g.Free()
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
			return fmt.Errorf("load weights from %s: tensor %q has %v among its values: the training has failed", path, name, t.Data[at])
		}
		if err := m.weights.set(name, g.Floats(t.Data, t.Shape...)); err != nil {
			return fmt.Errorf("load weights from %s: %w", path, err)
		}
		g.Free()
	}
	for _, t := range tensors {
		return fmt.Errorf("load weights from %s: tensor %q has no place in a model of this configuration", path, t.Name)
	}
	return nil
}

func notFinite(x float32) bool { return x-x != 0 }
