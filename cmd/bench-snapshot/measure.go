package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// measured is what a part of the work took.
type measured struct {
	seconds float64
	peakMB  int // of resident memory, all of the process
}

func measure(work func() error) (m measured, err error) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // forgets the peak so far
		return m, fmt.Errorf("reset the peak of memory: %w", err)
	}
	began := time.Now()
	if err := work(); err != nil {
		return m, err
	}
	m.seconds = time.Since(began).Seconds()
	m.peakMB, err = peakMB()
	return m, err
}

func peakMB() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			kb, err := strconv.Atoi(strings.Fields(value)[0])
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("the system does not tell the peak of memory")
}
