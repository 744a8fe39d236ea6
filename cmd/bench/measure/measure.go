// Package measure has what several benchmarks share: model shapes, the processes of other engines,
// and medians.
package measure

import (
	"slices"

	"genrec/model"
	"genrec/retrain"
)

// Shape is that of a recipe's model, or of BART base with 768 wide layers, as its name
// says, with a vocabulary of its own where the shape has none.
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

// Median sorts its argument.
func Median(xs []float64) float64 {
	slices.Sort(xs)
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}
