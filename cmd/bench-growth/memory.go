package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"genrec/model/libtorch"
)

// settledMB is the resident memory when what is not in use has been given back.
func settledMB() float64 {
	debug.FreeOSMemory()
	libtorch.ReleaseMemory()
	return statusMB("VmRSS:")
}

// resetPeak lets peakMB begin again from what is resident now.
func resetPeak() error { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

func peakMB() float64 { return statusMB("VmHWM:") }

// statusMB reads a line of the kernel's account of the process, which is in kB.
func statusMB(name string) (mb float64) {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), name); found {
			if _, err := fmt.Sscan(value, &mb); err != nil {
				return 0
			}
			return mb / 1024
		}
	}
	return 0
}
