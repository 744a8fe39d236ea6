package snapshot

import (
	"runtime/debug"
	"time"

	"genrec/test/harness"
)

// measured is what a part of the work took.
type measured struct {
	seconds float64
	peakMB  int // of resident memory, all of the process
}

func measure(work func() error) (m measured, err error) {
	debug.FreeOSMemory()
	if err := harness.ResetPeakMemory(); err != nil {
		return m, err
	}
	began := time.Now()
	if err := work(); err != nil {
		return m, err
	}
	m.seconds = time.Since(began).Seconds()
	peak, err := harness.PeakMemory()
	m.peakMB = int(peak)
	return m, err
}
