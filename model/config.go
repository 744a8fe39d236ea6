package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"genrec/model/tokens"
)

// Config is the shape of a model. Its JSON is a Hugging Face config.json of BART, with GenRec's own
// settings as genrec_*.
type Config struct {
	// Vocabulary is the number of tokens.
	Vocabulary int `json:"vocab_size"`
	// Width is that of embeddings and hidden states.
	Width int `json:"d_model"`
	// MaxPositions is the number of learned positions of the encoder, and of the decoder.
	MaxPositions int `json:"max_position_embeddings"`

	// EncoderLayers is the number of layers of the encoder.
	EncoderLayers int `json:"encoder_layers"`
	// EncoderHeads is the number of attention heads in the encoder.
	EncoderHeads int `json:"encoder_attention_heads"`
	// EncoderFFN is the inner width of feed-forward layers in the encoder.
	EncoderFFN int `json:"encoder_ffn_dim"`
	// DecoderLayers is the number of layers of the decoder.
	DecoderLayers int `json:"decoder_layers"`
	// DecoderHeads is the number of attention heads in the decoder.
	DecoderHeads int `json:"decoder_attention_heads"`
	// DecoderFFN is the inner width of feed-forward layers in the decoder.
	DecoderFFN int `json:"decoder_ffn_dim"`

	// Dropout is the probability for embeddings and the outputs of sublayers.
	Dropout float64 `json:"dropout"`
	// AttentionDropout is the probability for attention weights.
	AttentionDropout float64 `json:"attention_dropout"`
	// ActivationDropout is the probability inside feed-forward layers.
	ActivationDropout float64 `json:"activation_dropout"`

	// InitStd is the standard deviation of random weights.
	InitStd float64 `json:"init_std"`
	// ScaleEmbedding multiplies token embeddings by the square root of the width.
	ScaleEmbedding bool `json:"scale_embedding"`

	// Users is the number of rows of the user table, beside row 0, which stays zero and is for tokens
	// without a user.
	Users int `json:"genrec_users"`
	// Items is the number of rows of the item table, beside row 0.
	Items int `json:"genrec_items"`
	// NewestFirst counts the encoder's positions backwards from the newest token, so that the last item has
	// the same positions in every history.
	NewestFirst bool `json:"genrec_newest_first"`
	// WordPositions sums the token embeddings of a word, a user or an item, into one position of the encoder,
	// instead of a position for each token.
	WordPositions bool `json:"genrec_word_positions"`
	// StartFromNewest adds the ID embedding of the newest item to the decoder's start tokens: a residual path
	// from the item to the ones that follow it.
	StartFromNewest bool `json:"genrec_start_from_newest"`
	// StartFromMean adds the mean of the ID embeddings of all input items to the decoder's start tokens: the
	// user's taste, whatever the order.
	StartFromMean bool `json:"genrec_start_from_mean"`
	// ItemLeaves makes the items the leaves of the search: the decoder generates all tokens of an item's
	// text but the last one, and the items below them are scored by their ID embeddings.
	ItemLeaves bool `json:"genrec_item_leaves,omitempty"`
	// PathWeight is the weight of the generated tokens' log-probability in the score of an item, beside that
	// of its embedding, if ItemLeaves.
	PathWeight float64 `json:"genrec_path_weight,omitempty"`
	// EnsembleWeights are the weights of the components in the score of an item.
	EnsembleWeights
}

// MaxTokens is the longest input: 512 tokens (paper, section 7.1), or fewer if the model has fewer
// positions.
func (c Config) MaxTokens() int { return min(512, c.MaxPositions) }

// layerWeights is the number of weights in the matrices of all layers: the multiplications for a position.
func (c Config) layerWeights() int64 {
	width, encoderFFN, decoderFFN := int64(c.Width), int64(c.EncoderFFN), int64(c.DecoderFFN)
	return int64(c.EncoderLayers)*width*(4*width+2*encoderFFN) + int64(c.DecoderLayers)*width*(8*width+2*decoderFFN)
}

// Validate reports every problem of a configuration.
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
	for _, field := range []struct {
		name  string
		value float64
	}{{"dropout", c.Dropout}, {"attention_dropout", c.AttentionDropout}, {"activation_dropout", c.ActivationDropout}} {
		if field.value < 0 || field.value >= 1 {
			errs = append(errs, fmt.Errorf("%s is %v, must be in [0, 1)", field.name, field.value))
		}
	}
	if err := c.validateWeights(c.EnsembleWeights); err != nil {
		errs = append(errs, err)
	}
	if c.PathWeight < 0 {
		errs = append(errs, fmt.Errorf("genrec_path_weight is %v, must not be negative", c.PathWeight))
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

// validateWeights reports ensemble weights that a model of this shape cannot have.
func (c Config) validateWeights(w EnsembleWeights) error {
	if c.ItemLeaves && w.Dense > 0 {
		return errors.Join(w.Validate(), fmt.Errorf("genrec_dense_weight is %v, but with genrec_item_leaves the search itself scores items by their embeddings: must be 0", w.Dense))
	}
	return w.Validate()
}

// identity is the part of a Hugging Face config.json that is the same for every model that this package
// supports. It is the default of fields that are left out.
type identity struct {
	ModelType      string   `json:"model_type"`
	Architectures  []string `json:"architectures"`
	Activation     string   `json:"activation_function"`
	EncoderDecoder bool     `json:"is_encoder_decoder"`
	TiedEmbeddings bool     `json:"tie_word_embeddings"`
	Begin          int64    `json:"bos_token_id"`
	Pad            int64    `json:"pad_token_id"`
	End            int64    `json:"eos_token_id"`
	DecoderStart   int64    `json:"decoder_start_token_id"`
}

func bart() identity {
	return identity{
		ModelType: "bart", Architectures: []string{"BartForConditionalGeneration"}, Activation: "gelu",
		EncoderDecoder: true, TiedEmbeddings: true,
		Begin: tokens.Begin, Pad: tokens.Pad, End: tokens.End, DecoderStart: tokens.End,
	}
}

// check reports every field of an unsupported kind of model.
func (i identity) check() error {
	want := bart()
	var errs []error
	for _, field := range []struct {
		name       string
		have, want any
	}{
		{"model_type", i.ModelType, want.ModelType},
		{"activation_function", i.Activation, want.Activation},
		{"is_encoder_decoder", i.EncoderDecoder, want.EncoderDecoder},
		{"tie_word_embeddings", i.TiedEmbeddings, want.TiedEmbeddings},
		{"bos_token_id", i.Begin, want.Begin},
		{"pad_token_id", i.Pad, want.Pad},
		{"eos_token_id", i.End, want.End},
		{"decoder_start_token_id", i.DecoderStart, want.DecoderStart},
	} {
		if field.have != field.want {
			errs = append(errs, fmt.Errorf("%s is %v, only %v is supported", field.name, field.have, field.want))
		}
	}
	return errors.Join(errs...)
}

func loadConfig(path string) (Config, error) {
	c := Config{Dropout: 0.1, InitStd: 0.02} // the defaults of Hugging Face
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read model configuration: %w", err)
	}
	kind := bart()
	for _, part := range []any{&c, &kind} {
		if err := json.Unmarshal(data, part); err != nil {
			return c, fmt.Errorf("decode model configuration %s: %w", path, err)
		}
	}
	if err := errors.Join(kind.check(), c.Validate()); err != nil {
		return c, fmt.Errorf("model configuration %s: %w", path, err)
	}
	return c, nil
}

// save writes a config.json that Hugging Face's transformers also reads.
func (c Config) save(path string) error {
	data, err := json.MarshalIndent(struct {
		identity
		Config
	}{bart(), c}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode model configuration: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write model configuration: %w", err)
	}
	return nil
}
