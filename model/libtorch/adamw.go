package libtorch

/*
#include <stdlib.h>
#include "adamw.h"
*/
import "C"

import (
	"errors"
	"unsafe"
)

// AdamW is libtorch's fused optimizer (Loshchilov and Hutter 2017) with access to its state, which
// gotch's does not give. A step is split into parts, which different threads may run at the same
// time: Begin, then SumGradients for every part, then Apply for every part.
type AdamW struct{ c *C.genrec_adamw }

// NewAdamW starts with moments of zero. The gradient of a weight is the sum of those of its
// replicas, which are listed replica by replica in the order of the weights.
func NewAdamW(weights, replicas []unsafe.Pointer, parts int, beta1, beta2, weightDecay float64) (AdamW, error) {
	var message *C.char
	c := C.genrec_adamw_new(&weights[0], C.int(len(weights)), &replicas[0], C.int(len(replicas)/len(weights)), C.int(parts),
		C.double(beta1), C.double(beta2), C.double(weightDecay), &message)
	if c == nil {
		return AdamW{}, take(message)
	}
	return AdamW{c}, nil
}

// Begin takes the gradients from the replicas. If distributed, there may be none.
func (a AdamW) Begin(distributed bool) error {
	var message *C.char
	return failure(C.genrec_adamw_begin(a.c, flag(distributed), &message), message)
}

// SumGradients sums the gradients of a part over the replicas and returns their squared norm.
func (a AdamW) SumGradients(part int) (squaredNorm float64, err error) {
	var message *C.char
	var squared C.double
	if C.genrec_adamw_sum_gradients(a.c, C.int(part), &squared, &message) == 0 {
		return 0, take(message)
	}
	return float64(squared), nil
}

// SquaredNorm returns the squared norm of a part's gradients, after an all-reduce.
func (a AdamW) SquaredNorm(part int) (squaredNorm float64, err error) {
	var message *C.char
	var squared C.double
	if C.genrec_adamw_squared_norm(a.c, C.int(part), &squared, &message) == 0 {
		return 0, take(message)
	}
	return float64(squared), nil
}

// Gradient is a new handle on the summed gradient of a weight.
func (a AdamW) Gradient(weight int) unsafe.Pointer {
	return C.genrec_adamw_gradient(a.c, C.int(weight))
}

// Apply updates the weights of a part by their gradients times scale, at a learning rate.
func (a AdamW) Apply(part int, rate, scale float64) error {
	var message *C.char
	return failure(C.genrec_adamw_apply(a.c, C.int(part), C.double(rate), C.double(scale), &message), message)
}

// Moment is a new handle on a weight's running mean of the gradient (order 1) or of
// its square (order 2).
func (a AdamW) Moment(weight, order int) unsafe.Pointer {
	return C.genrec_adamw_moment(a.c, C.int(weight), C.int(order))
}

// SetSteps sets the number of steps in the moments.
func (a AdamW) SetSteps(steps int) { C.genrec_adamw_set_steps(a.c, C.double(steps)) }

// Free frees the optimizer.
func (a AdamW) Free() { C.genrec_adamw_free(a.c) }

// take turns a message of C into an error and frees it.
func take(message *C.char) error {
	defer C.free(unsafe.Pointer(message))
	return errors.New(C.GoString(message))
}
