package main

import (
	"runtime/debug"
	"time"

	"genrec/cmd/internal/process"
)

// measured is what a part of the work took.
type measured struct {
	seconds float64
	peakMB  int // of resident memory, all of the process
}

func measure(work func() error) (m measured, err error) {
	debug.FreeOSMemory()
	if err := process.ResetPeak(); err != nil {
		return m, err
	}
	began := time.Now()
	if err := work(); err != nil {
		return m, err
	}
	m.seconds = time.Since(began).Seconds()
	peak, err := process.Peak()
	m.peakMB = int(peak)
	return m, err
}
