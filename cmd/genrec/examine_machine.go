package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"genrec/model"
)

func examineMachine(_ context.Context, cmd *cli.Command) []finding {
	return []finding{examineLibtorch(cmd), examineGPU(cmd.String("device"))}
}

func examineLibtorch(cmd *cli.Command) finding {
	const subject = "libtorch"
	device, ranker, err := rankerSettings(cmd)
	if err != nil {
		return ill(subject, err, "install the GPU's driver and libtorch for CUDA, or take --device cpu")
	}
	text := fmt.Sprintf("%s runs on %v, in %v; %d cores", libtorchFile(), device, ranker.Precision, runtime.GOMAXPROCS(0))
	if device == model.CPU && model.BFloat16.Suits(device) {
		text += ", which have bfloat16"
	}
	return healthy(subject, "%s", text)
}

// libtorchFile is the library that this process has loaded.
func libtorchFile() string {
	const name = "libtorch_cpu.so"
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return name
	}
	for line := range strings.Lines(string(maps)) {
		if at := strings.IndexByte(line, '/'); at >= 0 && strings.HasSuffix(line, "/"+name+"\n") {
			return strings.TrimSuffix(line[at:], "\n")
		}
	}
	return name
}

// examineGPU finds fault only with a GPU whose driver is there, or that was asked for.
func examineGPU(device string) finding {
	const subject = "GPU"
	if device == model.CPU.String() {
		return healthy(subject, "not examined: --device cpu")
	}
	switch _, err := model.ParseDevice("cuda"); {
	case err == nil:
		return healthy(subject, "%s, with CUDA", gpuName())
	case errors.Is(err, fs.ErrNotExist) && device == "auto":
		return healthy(subject, "none, and none is needed: this machine has no driver of NVIDIA's")
	case errors.Is(err, fs.ErrNotExist):
		return ill(subject, err, "install NVIDIA's driver, let the container see the GPU, or take --device cpu")
	default:
		return ill(subject, err, "let libtorch for CUDA 13 be found by LD_LIBRARY_PATH, and a GPU by CUDA_VISIBLE_DEVICES, or take --device cpu")
	}
}

// gpuName is what the driver says, if it does.
func gpuName() string {
	cards, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	var names []string
	for _, card := range cards {
		text, _ := os.ReadFile(card)
		for line := range strings.Lines(string(text)) {
			if name, found := strings.CutPrefix(line, "Model:"); found {
				names = append(names, strings.TrimSpace(name))
			}
		}
	}
	if len(names) == 0 {
		return "can be used"
	}
	return strings.Join(names, ", ")
}

// leastRoom on the history's disk: below it, somebody has to look after it soon.
const leastRoom = 1 << 30

func examineHistory(_ context.Context, cmd *cli.Command) []finding {
	const subject = "history"
	folder := cmd.String("history")
	if folder == "" {
		return []finding{healthy(subject, "not examined: no --history")}
	}
	if err := unix.Access(folder, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return []finding{ill(subject, fmt.Errorf("read and write in the folder %s: %w", folder, err),
			"start ingest, which makes the folder, or make it, and let this user write there")}
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(folder, &disk); err != nil {
		return []finding{ill(subject, fmt.Errorf("look how much room %s has: %w", folder, err), "mount its disk again")}
	}
	room := disk.Bavail * uint64(disk.Bsize)
	if room < leastRoom {
		return []finding{ill(subject, fmt.Errorf("the disk of %s has room for %s more", folder, humanize.IBytes(room)), "make room, or move the folder to a larger disk")}
	}
	return []finding{healthy(subject, "%s can be written, and has room for %s more", folder, humanize.IBytes(room))}
}
