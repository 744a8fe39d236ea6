package launch

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
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Grace is how long the other ranks have for ending when one has ended badly.
const Grace = time.Minute

// Run starts this program size times with the arguments, as the ranks of one machine, and
// waits for all. Standard output is rank 0's; every line of the logs begins with the
// rank. When ctx ends, or a rank does with an error, the others are asked to stop, and
// killed after the grace. They die with this process, however it dies.
func Run(ctx context.Context, size int, grace time.Duration, arguments ...string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start %d ranks: %w", size, err)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("start %d ranks: %w", size, err)
	}
	defer listener.Close()
	meeting, err := listener.File()
	if err != nil {
		return fmt.Errorf("start %d ranks: %w", size, err)
	}
	defer meeting.Close()
	// The ranks are children of this thread, whose death would kill them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	ended := &ended{}
	ranks, stop := context.WithCancel(ctx)
	defer stop()
	var group sync.WaitGroup
	var logs sync.Mutex
	for rank := range size {
		p := Place{
			Rank: rank, Size: size, LocalRank: rank, LocalSize: size,
			Host: "127.0.0.1", Port: uint16(listener.Addr().(*net.TCPAddr).Port), listener: -1,
		}
		cmd := exec.CommandContext(ranks, program, arguments...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = grace
		// A group of its own, so that Ctrl-C reaches it by way of this process alone.
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		lines := &prefixed{to: os.Stderr, lock: &logs, prefix: fmt.Sprintf("rank %d: ", rank)}
		cmd.Stdout, cmd.Stderr = lines, lines
		if rank == 0 {
			cmd.Stdout = os.Stdout
			cmd.ExtraFiles = []*os.File{meeting}
			p.listener = 3 // the first descriptor behind the standard ones
		}
		cmd.Env = append(os.Environ(), p.environment()...)
		if err := cmd.Start(); err != nil {
			ended.add(fmt.Errorf("start rank %d of %d: %w", rank, size, err))
			stop()
			break
		}
		group.Go(func() {
			err := cmd.Wait()
			lines.flush()
			if err != nil {
				ended.add(fmt.Errorf("rank %d: %w", rank, err))
				stop()
			}
		})
	}
	group.Wait()
	return errors.Join(ctx.Err(), errors.Join(ended.errs...))
}

// ended lists the errors of ranks, the first to end badly first.
type ended struct {
	lock sync.Mutex
	errs []error
}

func (e *ended) add(err error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	e.errs = append(e.errs, err)
}

// environment says to another process what FromEnvironment reads there.
func (p Place) environment() []string {
	return []string{
		rankName + "=" + strconv.Itoa(p.Rank), sizeName + "=" + strconv.Itoa(p.Size),
		localRankName + "=" + strconv.Itoa(p.LocalRank), localSizeName + "=" + strconv.Itoa(p.LocalSize),
		hostName + "=" + p.Host, portName + "=" + strconv.Itoa(int(p.Port)),
		listenerName + "=" + strconv.Itoa(p.listener),
	}
}

// prefixed writes whole lines, each behind a prefix.
type prefixed struct {
	to     io.Writer
	lock   *sync.Mutex // of all that write there
	prefix string
	rest   []byte // of a line whose end is missing
}

// longestLine bounds what is kept of a line that does not end.
const longestLine = 1 << 16

func (p *prefixed) Write(data []byte) (int, error) {
	p.rest = append(p.rest, data...)
	for {
		n, line, err := bufio.ScanLines(p.rest, len(p.rest) > longestLine)
		if n == 0 || err != nil {
			return len(data), err
		}
		if err := p.print(line); err != nil {
			return 0, err
		}
		p.rest = append(p.rest[:0], p.rest[n:]...)
	}
}

func (p *prefixed) print(line []byte) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	_, err := fmt.Fprintf(p.to, "%s%s\n", p.prefix, line)
	return err
}

// flush writes a last line without an end.
func (p *prefixed) flush() {
	if len(p.rest) > 0 {
		_ = p.print(p.rest) // there is nobody to tell
	}
}
