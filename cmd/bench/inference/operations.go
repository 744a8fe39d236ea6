package inference

import "genrec/model"

// operations is how many floating-point operations a user needs on average, two for each
// multiplication in a matrix product. Padding and what an engine does twice are not
// counted.
func (w *work) operations() float64 {
	total := 0.0
	for _, in := range w.inputs {
		total += w.operationsFor(float64(in.Positions()))
	}
	return total / float64(len(w.inputs))
}

// operationsFor counts a user whose input takes s positions.
func (w *work) operationsFor(s float64) float64 {
	c := w.config
	d := float64(c.Width)
	product := func(in, out float64) float64 { return 2 * in * out } // of one row

	encoder := s * (4*product(d, d) + 2*product(d, s) + 2*product(d, float64(c.EncoderFFN)))
	crossKeysValues := s * 2 * product(d, d)
	// token is one of the decoder that looks back at t tokens, itself among them.
	token := func(t float64) float64 {
		return 4*product(d, d) + 2*product(d, t) + 2*product(d, d) + 2*product(d, s) + 2*product(d, float64(c.DecoderFFN))
	}
	logits := product(d, float64(c.Vocabulary))

	const marks = 2 // before the texts' prefix
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
