package model

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"genrec/model/itemstats"
	"genrec/model/libtorch"
	"genrec/model/safetensors"
	"genrec/model/tensor"
)

func TestParseDevice(t *testing.T) {
	if d, err := ParseDevice("cpu"); err != nil || d != CPU || d.String() != "cpu" {
		t.Errorf("cpu: %v, error %v", d, err)
	}
	if _, err := ParseDevice("auto"); err != nil {
		t.Errorf("auto must find a device: %v", err)
	}
	if _, err := ParseDevice("tpu"); err == nil || !strings.Contains(err.Error(), `"tpu"`) {
		t.Errorf("tpu: error %v, want one that names it", err)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"vocab_size":              func(c *Config) { c.Vocabulary = 0 },
		"d_model":                 func(c *Config) { c.Width = -1 },
		"encoder_layers":          func(c *Config) { c.EncoderLayers = 0 },
		"genrec_items":            func(c *Config) { c.Items = -1 },
		"dropout":                 func(c *Config) { c.Dropout = 1 },
		"encoder_attention_heads": func(c *Config) { c.EncoderHeads = 7 },
	} {
		c := testConfig(118, 10, 10)
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that names %s", err, want)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	ownThread(t)
	saved := func(t *testing.T) string {
		b := newBundle(t, cycles(20, rings, ringSize, 6), 1)
		dir := t.TempDir()
		if err := b.Save(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, c := range []struct {
		name, want string
		spoil      func(dir string) error
	}{
		{"no configuration", ConfigFile, func(dir string) error { return os.Remove(filepath.Join(dir, ConfigFile)) }},
		{"no weights", WeightsFile, func(dir string) error { return os.Remove(filepath.Join(dir, WeightsFile)) }},
		{"no catalog", CatalogFile, func(dir string) error { return os.Remove(filepath.Join(dir, CatalogFile)) }},
		{"cut weights", WeightsFile, func(dir string) error { return os.Truncate(filepath.Join(dir, WeightsFile), 20_000) }},
		{"weights of another model", `"model.shared.weight" is missing`, func(dir string) error {
			f, err := os.Create(filepath.Join(dir, WeightsFile))
			if err != nil {
				return err
			}
			defer f.Close()
			return safetensors.Write(f, []safetensors.Tensor{{Name: "other", Shape: []int64{1}, Data: []float32{1}}})
		}},
		{"weights of another shape", "the configuration asks for", func(dir string) error {
			config, err := loadConfig(filepath.Join(dir, ConfigFile))
			if err != nil {
				return err
			}
			config.Items++
			return config.save(filepath.Join(dir, ConfigFile))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ownThread(t)
			dir := saved(t)
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			b, err := LoadBundle(dir, testDevice(t))
			if err == nil {
				b.Model.Drop()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A version may be loaded while a training in the same process draws dropout masks.
func TestLoadDrawsNoRandomNumbers(t *testing.T) {
	ownThread(t)
	b := newBundle(t, cycles(20, rings, ringSize, 6), 1)
	dir := t.TempDir()
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	draw := func() []float32 {
		x := tensor.Normal(1, CPU.libtorch, 8)
		defer x.Drop()
		return x.Floats()
	}
	libtorch.Seed(5)
	want := draw()
	libtorch.Seed(5)
	loaded, err := Load(dir, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Drop()
	if got := draw(); !slices.Equal(got, want) {
		t.Errorf("after loading a model the generator draws %v, want %v", got, want)
	}
}

func TestRecommenderClosesOnce(t *testing.T) {
	ownThread(t)
	sequences := cycles(30, rings, ringSize, 6)
	b := newBundle(t, sequences, 1)
	var histories [][]int
	for _, s := range sequences {
		histories = append(histories, Leaves(b.Catalog.ItemIndices(s.Items)))
	}
	b.Rules[itemstats.Association] = itemstats.LearnRules(itemstats.Association, histories, b.Catalog.Items())
	dir := t.TempDir()
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecommender(dir, testDevice(t), DefaultRankerConfig())
	if err != nil {
		t.Fatal(err)
	}
	ranked, _, err := r.Recommend(t.Context(), []Query{{User: "user-1"}, {User: "nobody"}})
	if err != nil || len(ranked) != 2 || len(ranked[0]) == 0 {
		t.Errorf("got %d lists (%v), want 2", len(ranked), err)
	}
	if popular := r.Popular(3); len(popular) != 3 || popular[0].Probability < popular[2].Probability {
		t.Errorf("popular items are %v", popular)
	}
	similar := maps.Collect(r.SimilarItems(3, 2))
	if len(similar) != 3 {
		t.Errorf("similar items of %v, want those of 3 items", similar)
	}
	for item, others := range similar { // each user stays on a ring
		for i, other := range others {
			if item[:len("ring-0")] != other.Item[:len("ring-0")] || i > 0 && other.Probability > others[i-1].Probability {
				t.Errorf("similar to %s are %v, want items of its ring, best first", item, others)
			}
		}
		if len(others) == 0 || len(others) > 2 {
			t.Errorf("similar to %s are %v, want 1 or 2 items", item, others)
		}
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := r.Recommend(t.Context(), []Query{{User: "user-1"}}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: error %v, want ErrClosed", err)
	}
}

// A model on a GPU takes memory of it, and one on a CPU none.
func TestDeviceMemory(t *testing.T) {
	ownThread(t)
	device := testDevice(t)
	dir := t.TempDir()
	if err := newBundle(t, cycles(30, rings, ringSize, 6), 1).Save(dir); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecommender(dir, device, DefaultRankerConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	allocated, reserved, err := device.Memory()
	if err != nil || (allocated > 0) != (device != CPU) || reserved < allocated {
		t.Errorf("on %v, a model takes %d bytes of %d reserved (%v)", device, allocated, reserved, err)
	}
}
