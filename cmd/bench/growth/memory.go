package growth

import (
	"os"
	"runtime/debug"

	"genrec/model/libtorch"
	"genrec/test/harness"
)

// settledMB is the resident memory when what is not in use has been given back. The peak
// begins again from there.
func settledMB() (float64, error) {
	debug.FreeOSMemory()
	libtorch.ReleaseMemory()
	if err := harness.ResetPeakMemory(); err != nil {
		return 0, err
	}
	return harness.ResidentMemory(os.Getpid())
}
