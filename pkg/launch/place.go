// Package launch starts a program several times as the ranks of one piece of work, and
// tells a rank its place. The names in the environment are those of torchrun.
package launch

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Place is a process's among those that work together.
type Place struct {
	Rank, Size int
	// LocalRank and LocalSize count the ranks of this machine.
	LocalRank, LocalSize int
	// Host and Port are where rank 0 lets the others find each other.
	Host string
	Port uint16
	// listener is the descriptor of rank 0's socket there, if it was handed one.
	listener int
}

const (
	rankName      = "RANK"
	sizeName      = "WORLD_SIZE"
	localRankName = "LOCAL_RANK"
	localSizeName = "LOCAL_WORLD_SIZE"
	hostName      = "MASTER_ADDR"
	portName      = "MASTER_PORT"
	listenerName  = "GENREC_LISTENER" // a descriptor, from Run to rank 0
)

// FromEnvironment reads the place that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT
// give this process, LOCAL_RANK and LOCAL_WORLD_SIZE too where they are set. Without RANK
// it has none.
func FromEnvironment() (p Place, given bool, err error) {
	if os.Getenv(rankName) == "" {
		return p, false, nil
	}
	number := func(name string, fallback string, least, most int) (n int) {
		text := os.Getenv(name)
		if text == "" {
			text = fallback
		}
		n, wrong := strconv.Atoi(text)
		if wrong != nil || n < least || n > most {
			err = errors.Join(err, fmt.Errorf("%s is %q, want a number from %d to %d", name, text, least, most))
		}
		return n
	}
	const most = 1 << 16
	p.Size = number(sizeName, "", 1, most)
	p.Rank = number(rankName, "", 0, max(0, p.Size-1))
	p.LocalSize = number(localSizeName, "1", 1, most)
	p.LocalRank = number(localRankName, "0", 0, p.LocalSize-1)
	p.listener = number(listenerName, "-1", -1, most)
	p.Port = uint16(number(portName, "", 1, 1<<16-1))
	if p.Host = os.Getenv(hostName); p.Host == "" {
		err = errors.Join(err, fmt.Errorf("%s is not set: where does rank 0 listen?", hostName))
	}
	if err != nil {
		return p, true, fmt.Errorf("%s is set, so this is one of several processes, but: %w", rankName, err)
	}
	return p, true, nil
}

// Cores is this process's share of the machine's, 0 where all are its own.
func (p Place) Cores() int {
	if p.LocalSize == 1 {
		return 0
	}
	return max(1, runtime.NumCPU()/p.LocalSize)
}

// Listen opens the socket on which rank 0 lets the others find each other, and returns its
// descriptor, which the caller has to close.
func (p Place) Listen() (descriptor int, err error) {
	if p.listener >= 0 {
		return p.listener, nil
	}
	port := strconv.Itoa(int(p.Port))
	listener, err := net.Listen("tcp", net.JoinHostPort(p.Host, port))
	if err != nil { // the name may be that of a service, which is no address of this machine
		listener, err = net.Listen("tcp", ":"+port)
	}
	if err != nil {
		return 0, fmt.Errorf("listen for the other ranks: %w", err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err := errors.Join(err, listener.Close()); err != nil {
		return 0, fmt.Errorf("listen for the other ranks: %w", err)
	}
	defer file.Close()
	return syscall.Dup(int(file.Fd()))
}

// visibleGPUs is what CUDA_VISIBLE_DEVICES has to say so that this process sees the GPU
// of its own.
func (p Place) visibleGPUs(now string) string {
	if now == "" {
		return strconv.Itoa(p.LocalRank)
	}
	all := strings.Split(now, ",")
	if len(all) < p.LocalSize { // each has been given its own already, or there are too few
		return now
	}
	return all[p.LocalRank]
}

// TakeGPU hides the GPUs of the machine's other ranks from this process. It has to come
// before anything looks for a GPU.
func (p Place) TakeGPU() error {
	const visible = "CUDA_VISIBLE_DEVICES"
	if p.LocalSize == 1 {
		return nil
	}
	return os.Setenv(visible, p.visibleGPUs(os.Getenv(visible)))
}
