// Package process starts genrec beside a command, and tells what processes use.
package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Time is the processor time that all threads of a process have taken.
func Time(id int) (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ, which Linux gives everyone as 100
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may have blanks
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", id, len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}

// Resident is the memory that a process has, in MiB.
func Resident(id int) (float64, error) { return memory(id, "VmRSS:") }

// Peak is the most that this process has had since ResetPeak, in MiB.
func Peak() (float64, error) { return memory(os.Getpid(), "VmHWM:") }

// ResetPeak lets Peak begin again from what is resident now.
func ResetPeak() error {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of memory: %w", err)
	}
	return nil
}

// memory is a line of the kernel's account, which is in kB.
func memory(id int, name string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", id, name)
}
