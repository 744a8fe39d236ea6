package dist

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

// RankInfo is the position of a process among those that train together. The terms are those
// of torchrun.
type RankInfo struct {
	// Rank is the number of the process, in [0, WorldSize).
	Rank, WorldSize int
	// LocalRank is the number of the process among the LocalWorldSize ones of its machine.
	LocalRank, LocalWorldSize int
	// Host is the name or address of rank 0's machine.
	Host string
	// Port is the TCP port on which rank 0 accepts the other ranks.
	Port uint16
	// listener is the file descriptor of rank 0's listening socket if Launch opened it, or -1.
	listener int
}

// Environment variables that hold a RankInfo.
const (
	envRank           = "RANK"
	envWorldSize      = "WORLD_SIZE"
	envLocalRank      = "LOCAL_RANK"
	envLocalWorldSize = "LOCAL_WORLD_SIZE"
	envHost           = "MASTER_ADDR"
	envPort           = "MASTER_PORT"
	envListener       = "GENREC_LISTENER" // from Launch to rank 0
)

// FromEnv reads RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and, where they are set, LOCAL_RANK
// and LOCAL_WORLD_SIZE. If RANK is not set, this process is not one of several, and isRank is
// false.
func FromEnv() (r RankInfo, isRank bool, err error) {
	if os.Getenv(envRank) == "" {
		return r, false, nil
	}
	integer := func(name string, fallback string, least, most int) (n int) {
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
	r.WorldSize = integer(envWorldSize, "", 1, most)
	r.Rank = integer(envRank, "", 0, max(0, r.WorldSize-1))
	r.LocalWorldSize = integer(envLocalWorldSize, "1", 1, most)
	r.LocalRank = integer(envLocalRank, "0", 0, r.LocalWorldSize-1)
	r.listener = integer(envListener, "-1", -1, most)
	r.Port = uint16(integer(envPort, "", 1, 1<<16-1))
	if r.Host = os.Getenv(envHost); r.Host == "" {
		err = errors.Join(err, fmt.Errorf("%s is not set, want the address of rank 0", envHost))
	}
	if err != nil {
		return r, true, fmt.Errorf("%s is set, so this process is a rank of a distributed training, but: %w", envRank, err)
	}
	return r, true, nil
}

// environ returns the environment variables from which FromEnv reads r.
func (r RankInfo) environ() []string {
	return []string{
		envRank + "=" + strconv.Itoa(r.Rank), envWorldSize + "=" + strconv.Itoa(r.WorldSize),
		envLocalRank + "=" + strconv.Itoa(r.LocalRank), envLocalWorldSize + "=" + strconv.Itoa(r.LocalWorldSize),
		envHost + "=" + r.Host, envPort + "=" + strconv.Itoa(int(r.Port)),
		envListener + "=" + strconv.Itoa(r.listener),
	}
}

// Cores is the number of CPU cores that this rank should use, or 0 for all of the machine's.
func (r RankInfo) Cores() int {
	if r.LocalWorldSize == 1 {
		return 0
	}
	return max(1, runtime.NumCPU()/r.LocalWorldSize)
}

// SelectGPU restricts CUDA_VISIBLE_DEVICES to this rank's GPU. It must be called before libtorch
// looks for a GPU.
func (r RankInfo) SelectGPU() error {
	const visible = "CUDA_VISIBLE_DEVICES"
	if r.LocalWorldSize == 1 {
		return nil
	}
	return os.Setenv(visible, r.visibleGPUs(os.Getenv(visible)))
}

// visibleGPUs is the value of CUDA_VISIBLE_DEVICES for this rank, given that of the machine.
func (r RankInfo) visibleGPUs(current string) string {
	if current == "" {
		return strconv.Itoa(r.LocalRank)
	}
	gpus := strings.Split(current, ",")
	if len(gpus) < r.LocalWorldSize { // the launcher has assigned one to each rank, or there are too few
		return current
	}
	return gpus[r.LocalRank]
}

// listen opens the socket on which rank 0 accepts the other ranks, and returns its file
// descriptor, which the caller owns.
func (r RankInfo) listen() (descriptor int, err error) {
	if r.listener >= 0 {
		return r.listener, nil
	}
	port := strconv.Itoa(int(r.Port))
	listener, err := net.Listen("tcp", net.JoinHostPort(r.Host, port))
	if err != nil { // the name may resolve to a service's address rather than this machine's
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
