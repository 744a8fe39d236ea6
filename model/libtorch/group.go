package libtorch

/*
#cgo CXXFLAGS: -I${SRCDIR} -DUSE_C10D_GLOO
#include <stdlib.h>
#include "group.h"
*/
import "C"

import (
	"os/signal"
	"syscall"
	"time"
	"unsafe"
)

// Group is libtorch's distributed backends over the same processes, its ranks: Gloo for
// what is on a CPU, NCCL for what is on a GPU. A call returns on all ranks when all have
// made it, in the same order and with as much data, or fails after the timeout.
type Group struct{ c *C.genrec_group }

// Meeting is how the ranks of a group find each other.
type Meeting struct {
	// Host and Port are where rank 0 listens. Its Listener is that socket, which becomes
	// the group's; elsewhere it is -1.
	Host     string
	Port     uint16
	Listener int
	// OwnAddress is where the others reach this rank.
	OwnAddress string
	Rank, Size int
	// JoinTimeout is how long to wait for the others at first, Timeout in each call.
	JoinTimeout, Timeout time.Duration
}

// JoinGroup waits for all ranks. From then on, the process ignores SIGPIPE: Gloo's threads
// write to connections that a dead rank may have closed, with writev, and the signal would
// end the process, because they are none of Go's, before anyone gets the error.
func JoinGroup(m Meeting) (Group, error) {
	signal.Ignore(syscall.SIGPIPE)
	host, own := C.CString(m.Host), C.CString(m.OwnAddress)
	defer C.free(unsafe.Pointer(host))
	defer C.free(unsafe.Pointer(own))
	var message *C.char
	c := C.genrec_group_join(host, C.uint16_t(m.Port), C.int(m.Listener), own, C.int(m.Rank), C.int(m.Size),
		C.int64_t(m.JoinTimeout.Milliseconds()), C.int64_t(m.Timeout.Milliseconds()), &message)
	if c == nil {
		return Group{}, take(message)
	}
	return Group{c}, nil
}

// Leave closes the connections.
func (g Group) Leave() { C.genrec_group_leave(g.c) }

// Add replaces values by their sums over the ranks.
func (g Group) Add(values []float64) error {
	var message *C.char
	return done(C.genrec_group_add(g.c, (*C.double)(&values[0]), C.int(len(values)), &message), message)
}

// Send replaces bytes, of which there are some, by those of rank 0.
func (g Group) Send(bytes []byte) error {
	var message *C.char
	return done(C.genrec_group_send(g.c, (*C.uint8_t)(&bytes[0]), C.int64_t(len(bytes)), &message), message)
}

// AddTensors replaces the elements of tensors on one device by their sums over the ranks.
func (g Group) AddTensors(tensors []unsafe.Pointer) error {
	var message *C.char
	return done(C.genrec_group_add_tensors(g.c, &tensors[0], C.int(len(tensors)), &message), message)
}

// SendTensors replaces the elements of tensors by those of rank 0.
func (g Group) SendTensors(tensors []unsafe.Pointer) error {
	var message *C.char
	return done(C.genrec_group_send_tensors(g.c, &tensors[0], C.int(len(tensors)), &message), message)
}

// done is the error of a call that failed.
func done(succeeded C.int, message *C.char) error {
	if succeeded == 0 {
		return take(message)
	}
	return nil
}
