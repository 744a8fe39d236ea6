package inference

import "genrec/model"

// operations returns the mean number of floating-point operations per user, two for each multiplication in a
// matrix product. Padding and redundant work of an engine are not counted.
func (w *workload) operations() float64 {
	total := 0.0
	for _, in := range w.inputs {
		total += w.operationsFor(float64(in.Positions()))
	}
	return total / float64(len(w.inputs))
}

// operationsFor returns the operations for an input of s positions.
func (w *workload) operationsFor(s float64) float64 {
	c := w.config
	d := float64(c.Width)
	product := func(in, out float64) float64 { return 2 * in * out } // of one row

	encoder := s * (4*product(d, d) + 2*product(d, s) + 2*product(d, float64(c.EncoderFFN)))
	crossKeysValues := s * 2 * product(d, d)
	// token is a decoder token that attends to t tokens, including itself.
	token := func(t float64) float64 {
		return 4*product(d, d) + 2*product(d, t) + 2*product(d, d) + 2*product(d, s) + 2*product(d, float64(c.DecoderFFN))
	}
	logits := product(d, float64(c.Vocabulary))

	const marks = 2 // special tokens before the common prefix of the items
	prefix := marks + len(w.tree.Prefix)
	decoder, scored := 0.0, 1.0 // the first step scores one state
	for t := range prefix {
		decoder += token(float64(t + 1))
	}
	for depth := 1; depth < w.tree.MaxDepth; depth++ {
		decoder += model.Beams * token(float64(prefix+depth))
		scored += model.Beams
	}
	return float64(c.EncoderLayers)*encoder + float64(c.DecoderLayers)*(crossKeysValues+decoder) + scored*logits
}
