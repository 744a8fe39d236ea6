// Package measure has the functions that several benchmarks share: model shapes, data of models without
// user and item embeddings, baseline engines in Python processes, lists of sizes in flags, and medians.
package measure

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/tokens"
	"genrec/pkg/dataset"
	"genrec/retrain"
)

// Shape returns the model configuration of a recipe, or BART base, which has 768 wide layers and its own
// vocabulary size.
func Shape(name string, vocabulary int) (model.Config, error) {
	if name == "bart-base" {
		return model.Config{
			Vocabulary: 50265, Width: 768, MaxPositions: 1024,
			EncoderLayers: 6, EncoderHeads: 12, EncoderFFN: 3072,
			DecoderLayers: 6, DecoderHeads: 12, DecoderFFN: 3072,
			Dropout: 0.1, AttentionDropout: 0.1, ActivationDropout: 0.1, InitStd: 0.02,
		}, nil
	}
	recipe, err := retrain.LoadRecipe(name)
	recipe.Model.Vocabulary = vocabulary
	return recipe.Model, err
}

// Data is a dataset with a model configuration that BART implementations support.
type Data struct {
	Sequences []catalog.Sequence // one per user
	Catalog   *catalog.Catalog   // of all users and items
	Builder   *examples.Builder  // of examples for the model
	Model     model.Config       // without user and item embeddings
}

// LoadData reads the file of a dataset. Its items are tokenized by digits.
func LoadData(file, shape string, format catalog.TextFormat) (d Data, err error) {
	users, err := dataset.Read(file)
	if err != nil {
		return d, err
	}
	for _, u := range users {
		d.Sequences = append(d.Sequences, catalog.Sequence{User: u.ID, Items: u.Items})
	}
	if d.Catalog, err = catalog.Build(d.Sequences, catalog.Options{Text: format, Seed: 1}); err != nil {
		return d, err
	}
	tokenizer := tokens.NewDigits()
	if d.Model, err = Shape(shape, tokenizer.Size()); err != nil {
		return d, err
	}
	d.Model.NewestFirst = false // BART counts positions from the oldest
	d.Model.ItemLeaves, d.Model.PathWeight = false, 0
	d.Builder = examples.NewBuilder(examples.Config{Catalog: d.Catalog, Tokenizer: tokenizer, MaxTokens: d.Model.MaxTokens()})
	return d, nil
}

// History returns a sequence with the indices of its user and items.
func (d Data) History(s catalog.Sequence) examples.History {
	return examples.History{User: d.Catalog.UserIndex(s.User), Items: d.Catalog.ItemIndices(s.Items)}
}

// Sizes parses the value of a flag: positive numbers separated by commas.
func Sizes(flag, list string) (sizes []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 {
			return nil, fmt.Errorf("-%s: %q is not a positive number", flag, text)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// Median sorts its argument.
func Median(xs []float64) float64 {
	slices.Sort(xs)
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}
