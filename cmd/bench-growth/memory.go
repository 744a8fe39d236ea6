package main

import (
	"os"
	"runtime/debug"

	"genrec/cmd/internal/process"
	"genrec/model/libtorch"
)

// settledMB is the resident memory when what is not in use has been given back. The peak
// begins again from there.
func settledMB() (float64, error) {
	debug.FreeOSMemory()
	libtorch.ReleaseMemory()
	if err := process.ResetPeak(); err != nil {
		return 0, err
	}
	return process.Resident(os.Getpid())
}
