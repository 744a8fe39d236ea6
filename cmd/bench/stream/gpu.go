package stream

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"genrec/pkg/testservers"
)

// gpuSampler observes the mean utilization of GPUs, as nvidia-smi tells it.
type gpuSampler struct {
	numbers []string
	child   *testservers.Process
	output  bytes.Buffer
	busy    float64 // 0 to 1
}

// newGPUSampler returns nil for devices without a GPU.
func newGPUSampler(devices []string) *gpuSampler {
	g := &gpuSampler{}
	for _, device := range devices {
		if name, number, _ := strings.Cut(device, ":"); name == "cuda" {
			g.numbers = append(g.numbers, cmp.Or(number, "0"))
		}
	}
	if len(g.numbers) == 0 {
		return nil
	}
	return g
}

func (g *gpuSampler) begin(context.Context) (err error) {
	cmd := exec.Command("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits",
		"-lms", "500", "-i", strings.Join(g.numbers, ","))
	g.output.Reset()
	cmd.Stdout = &g.output
	cmd.WaitDelay = time.Second
	if g.child, err = testservers.StartProcess(cmd); err != nil {
		return fmt.Errorf("sample the GPU's utilization: %w", err)
	}
	return nil
}

func (g *gpuSampler) end(context.Context) (err error) {
	_ = g.child.End(syscall.SIGTERM) // it runs until it is stopped
	if g.busy, err = meanUtilization(g.output.String()); err != nil {
		fmt.Println("GPU utilization is unknown:", err)
		g.busy = math.NaN()
	}
	return nil
}

// meanUtilization returns the mean of lines of percentages as a fraction.
func meanUtilization(output string) (float64, error) {
	sum, n := 0.0, 0
	lines := bufio.NewScanner(strings.NewReader(output))
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		percent, err := strconv.ParseFloat(strings.TrimSpace(lines.Text()), 64)
		if err != nil {
			return 0, fmt.Errorf("nvidia-smi: %q is not a percentage", lines.Text())
		}
		sum, n = sum+percent/100, n+1
	}
	if n == 0 {
		return 0, errors.New("nvidia-smi printed no utilization")
	}
	return sum / float64(n), nil
}
