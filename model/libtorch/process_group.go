package libtorch

/*
#cgo CXXFLAGS: -I${SRCDIR} -DUSE_C10D_GLOO
#include <stdlib.h>
#include "process_group.h"
*/
import "C"

import (
	"os/signal"
	"syscall"
	"time"
	"unsafe"
)

// Group is a process group of libtorch: Gloo for tensors on a CPU, NCCL for tensors on a GPU. A
// collective call returns when all ranks have made it, in the same order and with the same amount
// of data, or fails after the timeout.
type Group struct{ c *C.genrec_group }

// Rendezvous says how the ranks of a group find each other.
type Rendezvous struct {
	// Host is where rank 0 listens.
	Host string
	// Port is rank 0's TCP port.
	Port uint16
	// Listener is the socket of rank 0, which the group takes over; -1 on other ranks.
	Listener int
	// OwnAddress is where the other ranks reach this one.
	OwnAddress string
	// Rank is this process's number, Size the number of processes.
	Rank, Size int
	// JoinTimeout bounds the wait for all ranks to join.
	JoinTimeout time.Duration
	// Timeout bounds each collective call.
	Timeout time.Duration
}

// JoinGroup waits for all ranks. From then on, the process ignores SIGPIPE: Gloo's threads write to
// connections that a dead rank may have closed, and the signal would end the process before the
// error is returned.
func JoinGroup(r Rendezvous) (Group, error) {
	signal.Ignore(syscall.SIGPIPE)
	host, own := C.CString(r.Host), C.CString(r.OwnAddress)
	defer C.free(unsafe.Pointer(host))
	defer C.free(unsafe.Pointer(own))
	var message *C.char
	c := C.genrec_group_join(host, C.uint16_t(r.Port), C.int(r.Listener), own, C.int(r.Rank), C.int(r.Size),
		C.int64_t(r.JoinTimeout.Milliseconds()), C.int64_t(r.Timeout.Milliseconds()), &message)
	if c == nil {
		return Group{}, take(message)
	}
	return Group{c}, nil
}

// Leave closes the connections.
func (g Group) Leave() { C.genrec_group_leave(g.c) }

// AllReduce replaces values by their sums over the ranks.
func (g Group) AllReduce(values []float64) error {
	var message *C.char
	return failure(C.genrec_group_all_reduce(g.c, (*C.double)(&values[0]), C.int(len(values)), &message), message)
}

// Broadcast replaces bytes, of which there is at least one, by those of rank 0.
func (g Group) Broadcast(bytes []byte) error {
	var message *C.char
	return failure(C.genrec_group_broadcast(g.c, (*C.uint8_t)(&bytes[0]), C.int64_t(len(bytes)), &message), message)
}

// AllReduceTensors replaces the elements of tensors on one device by their sums over the ranks.
func (g Group) AllReduceTensors(tensors []unsafe.Pointer) error {
	var message *C.char
	return failure(C.genrec_group_all_reduce_tensors(g.c, &tensors[0], C.int(len(tensors)), &message), message)
}

// BroadcastTensors replaces the elements of tensors by those of rank 0.
func (g Group) BroadcastTensors(tensors []unsafe.Pointer) error {
	var message *C.char
	return failure(C.genrec_group_broadcast_tensors(g.c, &tensors[0], C.int(len(tensors)), &message), message)
}
