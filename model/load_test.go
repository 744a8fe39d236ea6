package model

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"genrec/model/safetensors"
)

// bartFolder writes a Hugging Face folder without ID tables, with tensors changed by edit.
func bartFolder(t *testing.T, edit func(map[string]safetensors.Tensor)) string {
	t.Helper()
	from := filepath.Join("testdata", "parity", "even")
	stored, err := safetensors.ReadFile(filepath.Join(from, WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	tensors := make(map[string]safetensors.Tensor)
	for _, s := range stored {
		tensors[s.Name] = s
	}
	delete(tensors, usersName)
	delete(tensors, itemsName)
	edit(tensors)

	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(from, ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), config, 0o644); err != nil {
		t.Fatal(err)
	}
	var list []safetensors.Tensor
	for name, s := range tensors {
		s.Name = name
		list = append(list, s)
	}
	f, err := os.Create(filepath.Join(dir, WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := safetensors.Write(f, list); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Versions of transformers name the tensors of BART differently.
func TestLoadPretrainedReadsAllNamings(t *testing.T) {
	ownThread(t)
	want, err := Load(filepath.Join("testdata", "parity", "even"), testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer want.Drop()
	pytorch := t.TempDir() // only pytorch_model.bin
	for _, name := range []string{ConfigFile, PyTorchFile} {
		data, err := os.ReadFile(filepath.Join("testdata", "parity", "even", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(pytorch, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, dir string }{
		{"as now", bartFolder(t, func(map[string]safetensors.Tensor) {})},
		{"the token table under each of its uses", bartFolder(t, func(tensors map[string]safetensors.Tensor) {
			for _, name := range []string{"lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"} {
				tensors[name] = tensors[sharedName]
			}
		})},
		{"the token table under another name", bartFolder(t, func(tensors map[string]safetensors.Tensor) {
			tensors["lm_head.weight"] = tensors[sharedName]
			delete(tensors, sharedName)
		})},
		{"a bare BartModel by torch.save", pytorch},
	} {
		t.Run(c.name, func(t *testing.T) {
			ownThread(t)
			const users, items = 3, 5
			got, err := LoadPretrained(c.dir, users, items, 1, testDevice(t))
			if err != nil {
				t.Fatal(err)
			}
			defer got.Drop()
			if got.Config.Users != users || got.Config.Items != items {
				t.Errorf("%d users and %d items, want %d and %d", got.Config.Users, got.Config.Items, users, items)
			}
			for _, w := range got.weights.named() {
				values := w.Floats()
				switch w.name {
				case usersName, itemsName:
					if rows := w.Shape()[0]; rows != users+1 && rows != items+1 || values[0] != 0 || values[len(values)-1] == 0 {
						t.Errorf("%s has %d rows, from %v to %v: want a row of zeros and random ones", w.name, rows, values[0], values[len(values)-1])
					}
				case logitsBiasName:
					if c.dir == pytorch {
						continue // a BartModel has none
					}
					fallthrough
				default:
					if !slices.Equal(values, want.weights.byName[w.name].Floats()) {
						t.Errorf("%s differs from the file", w.name)
					}
				}
			}
		})
	}
}

func TestLoadPretrainedErrors(t *testing.T) {
	ownThread(t)
	const tensor = "model.encoder.layers.1.fc1.weight"
	for _, c := range []struct {
		name, want string
		edit       func(map[string]safetensors.Tensor)
	}{
		{"a tensor is missing", `"` + tensor + `" is missing`, func(tensors map[string]safetensors.Tensor) { delete(tensors, tensor) }},
		{"a tensor too many", `"classification_head.dense.weight" is unknown`, func(tensors map[string]safetensors.Tensor) {
			tensors["classification_head.dense.weight"] = tensors[tensor]
		}},
		{"another shape", `"` + tensor + `" has shape [16 32]`, func(tensors map[string]safetensors.Tensor) {
			tensors[tensor] = tensors["model.encoder.layers.1.fc2.weight"]
		}},
		{"an output layer of its own", "one token table", func(tensors map[string]safetensors.Tensor) {
			other := tensors[sharedName]
			other.Data = slices.Clone(other.Data)
			other.Data[7]++
			tensors["lm_head.weight"] = other
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ownThread(t)
			m, err := LoadPretrained(bartFolder(t, c.edit), 3, 5, 1, testDevice(t))
			if err == nil {
				m.Drop()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), WeightsFile) {
				t.Errorf("error %v, want one with %q and the file", err, c.want)
			}
		})
	}
}

func TestUnsupportedConfigurations(t *testing.T) {
	path := filepath.Join(t.TempDir(), ConfigFile)
	const shape = `"vocab_size": 10, "d_model": 8, "max_position_embeddings": 16, "encoder_layers": 1, "encoder_attention_heads": 2,
		"encoder_ffn_dim": 8, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8`
	for want, field := range map[string]string{
		"model_type is t5":                    `"model_type": "t5"`,
		"activation_function is relu":         `"activation_function": "relu"`,
		"tie_word_embeddings is false":        `"tie_word_embeddings": false`,
		"decoder_start_token_id is 0":         `"decoder_start_token_id": 0`,
		"attention_dropout is 1":              `"attention_dropout": 1`,
		"decode model configuration " + path:  `"dropout": "much"`,
		"encoder_layers is 0, must be positi": `"encoder_layers": 0`,
	} {
		if err := os.WriteFile(path, []byte("{"+shape+", "+field+"}"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := loadConfig(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one with %q", field, err, want)
		}
	}
}
