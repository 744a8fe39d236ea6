package stream

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"genrec/pkg/testservers"
	"genrec/test/harness"
)

// startGenrec starts a service of a genrec binary, with env added to the environment. Its log is discarded
// once ctx has ended.
func (r *environment) startGenrec(ctx context.Context, binary, service string, env []string, args ...string) (*testservers.Process, error) {
	cmd := exec.Command(binary, append([]string{"--log-level", "error", service, "--kafka", r.kafka, "--redis", r.redis}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = untilDone{ctx, os.Stderr}
	return testservers.StartProcess(cmd)
}

// untilDone discards writes after the context has ended, because services that are interrupted together with
// their servers log errors.
type untilDone struct {
	ctx context.Context
	to  io.Writer
}

func (w untilDone) Write(p []byte) (int, error) {
	select {
	case <-w.ctx.Done():
		return len(p), nil
	default:
		return w.to.Write(p)
	}
}

func stopAll(children []*testservers.Process) {
	for _, c := range children {
		slog.Debug("genrec exited", "cause", c.Stop())
	}
}

func failed(children []*testservers.Process) error {
	for _, c := range children {
		if err := c.Failed(); err != nil {
			return err
		}
	}
	return nil
}

// services are the processes of a genrec build.
type services struct {
	children []*testservers.Process // ingest, then the infer processes
	infer    []int                  // process ids
	metrics  []string               // HOST:PORT of each infer process
	usage    cpuUsage
}

// loadTimeout is the time limit for loading and warming up the model in infer.
const loadTimeout = 3 * time.Minute

// startServices starts ingest and the infer processes and waits until the latter are ready.
// The services must be stopped also after an error.
func (r *environment) startServices(ctx context.Context, binary, models string) (*services, error) {
	s := &services{usage: cpuUsage{names: r.servers.names, ids: r.servers.ids}}
	c, err := r.startGenrec(ctx, binary, "ingest", nil)
	if err != nil {
		return s, err
	}
	s.children = append(s.children, c)
	s.usage.add("ingest", c.ID())
	devices := r.deviceNames()
	for i := range r.workers {
		flags, env := deviceFlags(binary, devices[i%len(devices)])
		metrics, err := testservers.FreeAddress()
		if err != nil {
			return s, err
		}
		// A background refresh after loading the model would add load.
		args := append([]string{"--models", models, "--metrics", metrics, "--refresh-rate", "0"}, flags...)
		c, err := r.startGenrec(ctx, binary, "infer", env, append(args, strings.Fields(r.inferArgs)...)...)
		if err != nil {
			return s, err
		}
		s.children, s.infer, s.metrics = append(s.children, c), append(s.infer, c.ID()), append(s.metrics, metrics)
		s.usage.add("infer", c.ID())
	}
	s.usage.add("benchmark", os.Getpid())
	for i, address := range s.metrics {
		if err := harness.AwaitReady(ctx, s.children[i+1], "http://"+address+"/readyz", loadTimeout); err != nil {
			return s, errors.Join(err, failed(s.children))
		}
	}
	return s, nil
}

func (s *services) stop() { stopAll(s.children) }

// deviceFlags returns the flags and environment variables for a device of infer. Older builds support only
// "cuda", so the other GPUs are hidden from them.
func deviceFlags(binary, device string) (flags, env []string) {
	if number, is := strings.CutPrefix(device, "cuda:"); is && !supportsGPUNumbers(binary) {
		return []string{"--device", "cuda"}, visibleGPU(number)
	}
	return []string{"--device", device}, nil
}

func supportsGPUNumbers(binary string) bool {
	help, err := exec.Command(binary, "infer", "--help").Output()
	return err == nil && strings.Contains(string(help), "cuda:")
}

// visibleGPU hides all other GPUs; the remaining one becomes number 0.
func visibleGPU(number string) []string { return []string{"CUDA_VISIBLE_DEVICES=" + number} }
