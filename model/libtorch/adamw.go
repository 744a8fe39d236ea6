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

// AdamW is libtorch's fused optimizer (Loshchilov and Hutter 2017), whose state can
// be read and written: gotch's keeps it to itself. The work of a step is cut into
// parts that different threads may do at the same time: Begin, then Gather for every
// part, then Apply for every part.
type AdamW struct{ c *C.genrec_adamw }

// NewAdamW starts with moments of zero for the given weights. Their gradients are the
// sums of those of the replicas, each of which has all weights in the same order.
func NewAdamW(weights, replicas []unsafe.Pointer, parts int, beta1, beta2, weightDecay float64) (AdamW, error) {
	var message *C.char
	c := C.genrec_adamw_new(&weights[0], C.int(len(weights)), &replicas[0], C.int(len(replicas)/len(weights)), C.int(parts),
		C.double(beta1), C.double(beta2), C.double(weightDecay), &message)
	if c == nil {
		return AdamW{}, take(message)
	}
	return AdamW{c}, nil
}

// Begin takes the gradients from the replicas. There may be none if others' are to be added.
func (a AdamW) Begin(others bool) error {
	var message *C.char
	var flag C.int
	if others {
		flag = 1
	}
	if C.genrec_adamw_begin(a.c, flag, &message) == 0 {
		return take(message)
	}
	return nil
}

// Gather sums the gradients of a part over the replicas and returns the square of
// their norm.
func (a AdamW) Gather(part int) (squaredNorm float64, err error) {
	var message *C.char
	var squared C.double
	if C.genrec_adamw_gather(a.c, C.int(part), &squared, &message) == 0 {
		return 0, take(message)
	}
	return float64(squared), nil
}

// Norm returns the square of the norm of a part's sums, if others were added to them.
func (a AdamW) Norm(part int) (squaredNorm float64, err error) {
	var message *C.char
	var squared C.double
	if C.genrec_adamw_norm(a.c, C.int(part), &squared, &message) == 0 {
		return 0, take(message)
	}
	return float64(squared), nil
}

// Gradient is a new handle on a weight's sum.
func (a AdamW) Gradient(weight int) unsafe.Pointer {
	return C.genrec_adamw_gradient(a.c, C.int(weight))
}

// Apply updates the weights of a part by their gradients times scale.
func (a AdamW) Apply(part int, rate, scale float64) error {
	var message *C.char
	if C.genrec_adamw_apply(a.c, C.int(part), C.double(rate), C.double(scale), &message) == 0 {
		return take(message)
	}
	return nil
}

// Moment is a new handle on a weight's running mean of the gradient (order 1) or of
// its square (order 2).
func (a AdamW) Moment(weight, order int) unsafe.Pointer {
	return C.genrec_adamw_moment(a.c, C.int(weight), C.int(order))
}

// SetSteps says how many steps the moments have seen.
func (a AdamW) SetSteps(steps int) { C.genrec_adamw_set_steps(a.c, C.double(steps)) }

// Free ends the optimizer.
func (a AdamW) Free() { C.genrec_adamw_free(a.c) }

// take frees a message of the C side.
func take(message *C.char) error {
	defer C.free(unsafe.Pointer(message))
	return errors.New(C.GoString(message))
}
