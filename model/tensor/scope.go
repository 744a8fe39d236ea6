package tensor

import (
	"slices"

	"github.com/sugarme/gotch"
)

// Scope runs operations on one device and owns their results until Free: libtorch
// memory is not the garbage collector's business.
type Scope struct {
	Device  gotch.Device
	results []*Tensor
}

func (s *Scope) own(t *Tensor) *Tensor {
	s.results = append(s.results, t)
	return t
}

// Free drops all results but those kept, which stay owned by the scope.
func (s *Scope) Free(keep ...*Tensor) { s.FreeSince(0, keep...) }

// Mark is where the scope's next result will stand, for FreeSince.
func (s *Scope) Mark() int { return len(s.results) }

// FreeSince is Free for the results behind a mark. Gradients do not need the handles.
func (s *Scope) FreeSince(mark int, keep ...*Tensor) {
	kept := s.results[:mark]
	for _, t := range s.results[mark:] {
		if slices.Contains(keep, t) {
			kept = append(kept, t)
		} else {
			t.Drop()
		}
	}
	clear(s.results[len(kept):])
	s.results = kept
}

// Give makes results of this scope those of another.
func (s *Scope) Give(to *Scope, results ...*Tensor) {
	s.results = slices.DeleteFunc(s.results, func(t *Tensor) bool { return slices.Contains(results, t) })
	to.results = append(to.results, results...)
}
