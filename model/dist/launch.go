package dist

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// GracePeriod is how long ranks usually get to terminate after another one has failed.
const GracePeriod = time.Minute

// Launch starts this program as worldSize ranks on this machine, with the given arguments, and
// waits for all of them. Standard output is that of rank 0; each line on standard error is
// prefixed with the rank. When ctx ends or a rank fails, the other ranks get SIGTERM, and SIGKILL
// after the grace period. If this process dies, the kernel kills them.
func Launch(ctx context.Context, worldSize int, grace time.Duration, arguments ...string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start %d ranks: %w", worldSize, err)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("start %d ranks: %w", worldSize, err)
	}
	defer listener.Close()
	socket, err := listener.File()
	if err != nil {
		return fmt.Errorf("start %d ranks: %w", worldSize, err)
	}
	defer socket.Close()
	// Pdeathsig is sent when the parent thread ends, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	failures := &failures{}
	ranks, stop := context.WithCancel(ctx)
	defer stop()
	var group sync.WaitGroup
	var logs sync.Mutex
	for rank := range worldSize {
		r := RankInfo{
			Rank: rank, WorldSize: worldSize, LocalRank: rank, LocalWorldSize: worldSize,
			Host: "127.0.0.1", Port: uint16(listener.Addr().(*net.TCPAddr).Port), listener: -1,
		}
		cmd := exec.CommandContext(ranks, program, arguments...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = grace
		// In a process group of its own, a rank gets no SIGINT from the terminal, only SIGTERM from here.
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		lines := &prefixWriter{out: os.Stderr, lock: &logs, prefix: fmt.Sprintf("rank %d: ", rank)}
		cmd.Stdout, cmd.Stderr = lines, lines
		if rank == 0 {
			cmd.Stdout = os.Stdout
			cmd.ExtraFiles = []*os.File{socket}
			r.listener = 3 // the first descriptor after standard input, output and error
		}
		cmd.Env = append(os.Environ(), r.environ()...)
		if err := cmd.Start(); err != nil {
			failures.add(fmt.Errorf("start rank %d of %d: %w", rank, worldSize, err))
			stop()
			break
		}
		group.Go(func() {
			err := cmd.Wait()
			lines.flush()
			if err != nil {
				failures.add(fmt.Errorf("rank %d: %w", rank, err))
				stop()
			}
		})
	}
	group.Wait()
	return errors.Join(ctx.Err(), errors.Join(failures.errs...))
}

// failures are the errors of ranks, in the order in which they ended.
type failures struct {
	lock sync.Mutex
	errs []error
}

func (f *failures) add(err error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.errs = append(f.errs, err)
}

// prefixWriter writes whole lines with a prefix.
type prefixWriter struct {
	out    io.Writer
	lock   *sync.Mutex // of all writers to out
	prefix string
	rest   []byte // of an incomplete line
}

// longestLine is the number of bytes after which an incomplete line is written nevertheless.
const longestLine = 1 << 16

func (w *prefixWriter) Write(data []byte) (int, error) {
	w.rest = append(w.rest, data...)
	for {
		n, line, err := bufio.ScanLines(w.rest, len(w.rest) > longestLine)
		if n == 0 || err != nil {
			return len(data), err
		}
		if err := w.print(line); err != nil {
			return 0, err
		}
		w.rest = append(w.rest[:0], w.rest[n:]...)
	}
}

func (w *prefixWriter) print(line []byte) error {
	w.lock.Lock()
	defer w.lock.Unlock()
	_, err := fmt.Fprintf(w.out, "%s%s\n", w.prefix, line)
	return err
}

// flush writes an incomplete last line.
func (w *prefixWriter) flush() {
	if len(w.rest) > 0 {
		_ = w.print(w.rest) // standard error is gone: the failure cannot be reported
	}
}
