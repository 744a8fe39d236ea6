package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"genrec/pkg/testservers"
)

// engineRate measures the engine alone, on all devices in parallel, and returns the sum of the rates.
func (r *environment) engineRate(ctx context.Context, binary string, m servedModel, w *workload) (float64, error) {
	requests := filepath.Join(r.folder, "requests.txt")
	if err := w.writeDataset(requests); err != nil {
		return 0, err
	}
	devices := slices.Compact(slices.Sorted(slices.Values(r.deviceNames())))
	outputs := make([]bytes.Buffer, len(devices))
	var children []*testservers.Process
	defer func() { stopAll(children) }()
	for i, device := range devices {
		c, err := testservers.StartProcess(r.engineCommand(ctx, binary, m, device, requests, &outputs[i]))
		if err != nil {
			return 0, err
		}
		defer context.AfterFunc(ctx, func() { _ = c.Stop() })()
		children = append(children, c)
	}
	sum := 0.0
	for i, c := range children {
		var best struct {
			Batch     int     `json:"batch"`
			Callers   int     `json:"callers"`
			PerSecond float64 `json:"per_second"`
		}
		err := c.Wait()
		if err == nil {
			err = json.Unmarshal(outputs[i].Bytes(), &best)
		}
		if err != nil {
			return 0, errors.Join(ctx.Err(), fmt.Errorf("measure the engine on %s: %w", devices[i], err))
		}
		fmt.Printf("engine alone on %s: %.0f users/s in batches of %d from %d callers\n", devices[i], best.PerSecond, best.Batch, best.Callers)
		sum += best.PerSecond
	}
	return sum, nil
}

func (r *environment) engineCommand(ctx context.Context, binary string, m servedModel, device, requests string, output *bytes.Buffer) *exec.Cmd {
	name, number, _ := strings.Cut(device, ":")
	duration := min(5*time.Second, r.window)
	args := []string{"engine", "-version", m.folder, "-device", name, "-requests", requests, "-duration", duration.String()}
	if name == "cuda" {
		args = append(args, "-batches", "256,1024,2048")
	}
	cmd := exec.Command(binary, append(args, engineFlags(strings.Fields(r.inferArgs))...)...)
	cmd.Env = os.Environ()
	if number != "" {
		cmd.Env = append(cmd.Env, visibleGPU(number)...)
	}
	cmd.Stdout, cmd.Stderr = output, untilDone{ctx, os.Stderr}
	return cmd
}

// engineFlags returns the flags of infer that the engine supports.
func engineFlags(infer []string) (flags []string) {
	for i, flag := range infer {
		name, _, whole := strings.Cut(strings.TrimLeft(flag, "-"), "=")
		switch {
		case name == "allow-seen", name == "precision" && whole:
			flags = append(flags, flag)
		case name == "precision" && i+1 < len(infer):
			flags = append(flags, flag, infer[i+1])
		}
	}
	return flags
}
