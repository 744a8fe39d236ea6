package inference

import (
	"testing"

	"genrec/model"
	"genrec/model/tokens"
)

func TestOperations(t *testing.T) {
	w := &workload{
		config: model.Config{
			Vocabulary: 10, Width: 2, EncoderLayers: 1, EncoderFFN: 4, DecoderLayers: 1, DecoderFFN: 4,
		},
		tree: &tokens.Trie{Prefix: []int64{7}, MaxDepth: 2},
	}
	// Counted by hand. For one row, a 2x2 product is 8 operations, a 2x4 product 16, one with n keys 4n.
	const inputs = 3
	encoder := inputs * (4*8 + 2*4*inputs + 2*16)
	crossKeysValues := inputs * 2 * 8
	token := func(context int) int { return 4*8 + 2*4*context + 2*8 + 2*4*inputs + 2*16 }
	decoder := token(1) + token(2) + token(3) + model.Beams*token(4)
	logits := (1 + model.Beams) * 2 * 2 * 10
	if want, got := float64(encoder+crossKeysValues+decoder+logits), w.operationsFor(inputs); got != want {
		t.Errorf("got %.0f operations, want %.0f", got, want)
	}
}
