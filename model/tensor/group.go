package tensor

import "genrec/model/libtorch"

// AddOver replaces the elements of tensors on one device by their sums over the ranks of
// a group.
func AddOver(g libtorch.Group, tensors []*Tensor) { raise(g.AddTensors(pointers(tensors))) }

// SendOver replaces the elements of tensors by those of rank 0.
func SendOver(g libtorch.Group, tensors []*Tensor) { raise(g.SendTensors(pointers(tensors))) }
