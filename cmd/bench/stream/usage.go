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
	"genrec/test/harness"
)

// cpuUsage measures the CPU time of processes. Several may share a name.
type cpuUsage struct {
	names  []string
	ids    []int
	before []time.Duration
	began  time.Time
}

func (p *cpuUsage) add(name string, id int) {
	p.names, p.ids = append(p.names, name), append(p.ids, id)
}

// begin starts the measurement of perEvent and cores.
func (p *cpuUsage) begin() (err error) {
	p.began, p.before = time.Now(), make([]time.Duration, len(p.ids))
	for i, id := range p.ids {
		if p.before[i], err = harness.CPUTime(id); err != nil {
			return err
		}
	}
	return nil
}

// perEvent returns the CPU time of each process per event since begin, in µs.
func (p *cpuUsage) perEvent(events int64) (string, error) {
	var each []string
	for i, id := range p.ids {
		now, err := harness.CPUTime(id)
		if err != nil {
			return "", err
		}
		each = append(each, fmt.Sprintf("%s %.1f", p.names[i], float64((now-p.before[i]).Microseconds())/float64(events)))
	}
	return strings.Join(each, ", "), nil
}

// cores returns the mean number of CPU cores used by the processes of each name since begin.
func (p *cpuUsage) cores() (map[string]float64, error) {
	wall := time.Since(p.began).Seconds()
	cores := make(map[string]float64)
	for i, id := range p.ids {
		now, err := harness.CPUTime(id)
		if err != nil {
			return nil, err
		}
		cores[p.names[i]] += (now - p.before[i]).Seconds() / wall
	}
	return cores, nil
}

// gpuSampler observes the mean utilization of GPUs with nvidia-smi.
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
		return fmt.Errorf("sample the GPU utilization: %w", err)
	}
	return nil
}

func (g *gpuSampler) end(context.Context) (err error) {
	_ = g.child.End(syscall.SIGTERM) // nvidia-smi runs until it is stopped
	if g.busy, err = meanUtilization(g.output.String()); err != nil {
		fmt.Println("GPU utilization is unknown:", err)
		g.busy = math.NaN()
	}
	return nil
}

// meanUtilization returns the mean of percentages, one per line, as a fraction.
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
