package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Config is the shape of a model. The names in JSON are those of a Hugging Face
// BART config.json, with the sizes of the two ID tables added.
type Config struct {
	Vocabulary   int `json:"vocab_size"`
	Width        int `json:"d_model"`
	MaxPositions int `json:"max_position_embeddings"`

	EncoderLayers int `json:"encoder_layers"`
	EncoderHeads  int `json:"encoder_attention_heads"`
	EncoderFFN    int `json:"encoder_ffn_dim"`
	DecoderLayers int `json:"decoder_layers"`
	DecoderHeads  int `json:"decoder_attention_heads"`
	DecoderFFN    int `json:"decoder_ffn_dim"`

	Dropout float64 `json:"dropout"`
	InitStd float64 `json:"init_std"`

	// Users and Items are the rows of the ID embedding tables beside row 0, which
	// stays zero and serves every token without an ID.
	Users int `json:"genrec_users"`
	Items int `json:"genrec_items"`
	// NewestFirst counts the encoder's positions from the newest token backwards,
	// so that the last item has the same positions in every history.
	NewestFirst bool `json:"genrec_newest_first"`
}

// Compact is a shape that trains from scratch on a CPU in minutes.
func Compact(vocabulary, users, items int) Config {
	return Config{
		Vocabulary: vocabulary, Width: 64, MaxPositions: 512,
		EncoderLayers: 2, EncoderHeads: 2, EncoderFFN: 256,
		DecoderLayers: 2, DecoderHeads: 2, DecoderFFN: 256,
		Dropout: 0.1, InitStd: 0.02,
		Users: users, Items: items, NewestFirst: true,
	}
}

// Validate says what is wrong with a shape that no model can have.
func (c Config) Validate() error {
	var errs []error
	for _, field := range []struct {
		name  string
		value int
	}{
		{"vocab_size", c.Vocabulary},
		{"d_model", c.Width},
		{"max_position_embeddings", c.MaxPositions},
		{"encoder_layers", c.EncoderLayers},
		{"encoder_attention_heads", c.EncoderHeads},
		{"encoder_ffn_dim", c.EncoderFFN},
		{"decoder_layers", c.DecoderLayers},
		{"decoder_attention_heads", c.DecoderHeads},
		{"decoder_ffn_dim", c.DecoderFFN},
	} {
		if field.value <= 0 {
			errs = append(errs, fmt.Errorf("%s is %d, must be positive", field.name, field.value))
		}
	}
	if c.Users < 0 || c.Items < 0 {
		errs = append(errs, fmt.Errorf("genrec_users %d and genrec_items %d must not be negative", c.Users, c.Items))
	}
	if c.Dropout < 0 || c.Dropout >= 1 {
		errs = append(errs, fmt.Errorf("dropout is %v, must be in [0, 1)", c.Dropout))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if c.Width%c.EncoderHeads != 0 || c.Width%c.DecoderHeads != 0 {
		return fmt.Errorf("d_model %d must be a multiple of encoder_attention_heads %d and decoder_attention_heads %d",
			c.Width, c.EncoderHeads, c.DecoderHeads)
	}
	return nil
}

func loadConfig(path string) (Config, error) {
	var c Config
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read model configuration: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decode model configuration %s: %w", path, err)
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("model configuration %s: %w", path, err)
	}
	return c, nil
}

func (c Config) save(path string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode model configuration: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write model configuration: %w", err)
	}
	return nil
}
