package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// report is the JSON output of a training.
type report struct {
	Version string `json:"version"`
	Items   int    `json:"items"`
	Gate    struct {
		Promoted bool   `json:"promoted"`
		Reason   string `json:"reason"`
	} `json:"gate"`
	Split []struct{} `json:"split"` // versions of the split that it waits for
}

// small has the settings of a model that two cores train in seconds.
var small = []string{
	"--set", "model.d_model=32", "--set", "model.encoder_ffn_dim=64", "--set", "model.decoder_ffn_dim=64", "--set", "model.dropout=0.1",
	"--set", "batch_size=64", "--set", "pretrain_epochs=2", "--set", "finetune_epochs=6", "--set", "least_steps=0", "--set", "patience=3",
}

// training returns the arguments of a training with a registry folder.
func (env *environment) training(models string, more ...string) []string {
	args := []string{"retrain", "--json", "--redis", env.servers.Redis.Address(), "--history", env.history, "--models", models}
	return append(append(args, small...), more...)
}

// train runs a training and counts its result.
func (env *environment) train(ctx context.Context, more ...string) (r report, err error) {
	start := time.Now()
	log, err := env.genrec(ctx, &r, env.training(env.models, more...)...)
	if err != nil {
		return r, err
	}
	if strings.Contains(log, "resuming the interrupted training") {
		env.resumed++
	}
	if r.Gate.Promoted {
		env.published++
	} else {
		env.refused++
	}
	slog.Info("trained", "version", r.Version, "promoted", r.Gate.Promoted, "reason", r.Gate.Reason, "took", time.Since(start).Round(time.Millisecond))
	return r, nil
}

// killTrainings kills trainings at times spread over the duration of one and runs each again. After each kill,
// all versions must be complete and the stream must continue.
func (env *environment) killTrainings(ctx context.Context) error {
	start := time.Now()
	if _, err := env.train(ctx); err != nil {
		return err
	}
	whole := time.Since(start)
	for i := range env.s.kills {
		if err := env.sendEvents(ctx, env.shop.users[:50], 1); err != nil {
			return err
		}
		part := (float64(i) + env.random.Float64()) / float64(env.s.kills)
		for tries, before := 0, env.kills; env.kills == before && tries < 3; tries++ {
			took, err := env.kill(ctx, time.Duration(part*float64(whole)))
			if err != nil {
				return err
			}
			if env.kills == before { // the training has finished
				whole = took
			}
		}
		if err := env.countIncomplete(ctx, env.models); err != nil {
			return err
		}
		if _, err := env.train(ctx); err != nil {
			return fmt.Errorf("after a kill at %.0f %% of the training: %w", 100*part, err)
		}
	}
	_, err := env.awaitUpToDate(ctx)
	return err
}

// kill starts a training, sends SIGKILL after a duration, and returns how long it ran. If it finishes
// earlier, the kill is not counted.
func (env *environment) kill(ctx context.Context, after time.Duration) (took time.Duration, err error) {
	cmd := exec.CommandContext(ctx, env.s.genrec, env.training(env.models)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start a training: %w", err)
	}
	start := time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 { // by a signal
			env.kills++
		}
	}()
	select {
	case <-ended:
		return time.Since(start), ctx.Err()
	case <-time.After(after):
	}
	_ = cmd.Process.Kill() // fails only if it has just ended
	<-ended
	return time.Since(start), ctx.Err()
}

// countIncomplete counts incomplete versions.
func (env *environment) countIncomplete(ctx context.Context, models string) error {
	all, err := env.list(ctx, models)
	if err != nil {
		return err
	}
	env.incomplete += countBroken(all)
	for _, v := range all {
		if _, err := env.genrec(ctx, nil, "models", "show", "--check", "--models", models, v.Version); err != nil {
			slog.Error("incomplete version", "version", v.Version, "cause", err)
			env.incomplete++
		}
	}
	return nil
}

func countBroken(all []listedVersion) (n int) {
	for _, v := range all {
		if v.Problem != "" {
			n++
		}
	}
	return n
}

func (env *environment) list(ctx context.Context, models string) ([]listedVersion, error) {
	text, err := exec.CommandContext(ctx, env.s.genrec, "models", "list", "--models", models, "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("list the versions in %s: %w", models, err)
	}
	return decodeLines(string(text))
}

// serving returns the serving set, such as v000001=50,v000002=50.
func (env *environment) serving(ctx context.Context) (string, error) {
	all, err := env.list(ctx, env.models)
	return percents(all), err
}

func percents(all []listedVersion) string {
	var shares []string
	for _, v := range all {
		if v.Percent > 0 {
			shares = append(shares, fmt.Sprintf("%s=%d", v.Version, v.Percent))
		}
	}
	return strings.Join(shares, ",")
}

// fullDisk trains on increasingly larger disks until a training fits.
func (env *environment) fullDisk(ctx context.Context) error {
	used, err := sizeOf(env.models)
	if err != nil {
		return err
	}
	const least, most = 32 << 10, 64 << 20
	for free := int64(least); free < most; free *= 2 {
		fits, err := env.trainOnDisk(ctx, used+free)
		if err != nil {
			return fmt.Errorf("%d KiB free: %w", free>>10, err)
		}
		if fits {
			slog.Info("a training fits on the disk", "KiB", free>>10)
			return check(free > 4*least, "a training fits into %d KiB: the disk was never full", free>>10)
		}
	}
	return fmt.Errorf("a training did not fit into %d MiB", most>>20)
}

// trainOnDisk trains on a tmpfs of a size, in a mount namespace that ends with its processes. If the disk
// becomes full, the versions must be the same as before.
func (env *environment) trainOnDisk(ctx context.Context, bytes int64) (fits bool, err error) {
	disk, err := os.MkdirTemp("", "genrec-full-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(disk)
	const script = `disk=$1 size=$2 models=$3 genrec=$4; shift 4
mount -t tmpfs -o "size=$size" tmpfs "$disk" && cp -a "$models/." "$disk" || exit
output=$("$genrec" "$@" 2>&1 >/dev/null)
case $? in 0|3) echo fits ;; *) case $output in *'no space left'*) echo full ;; *) echo "$output" >&2; exit 1 ;; esac ;; esac
"$genrec" models list --models "$disk" --json`
	args := append([]string{"--map-root-user", "--mount", "sh", "-c", script, "sh", disk, fmt.Sprint(bytes), env.models, env.s.genrec}, env.training(disk)...)
	cmd := exec.CommandContext(ctx, "unshare", args...)
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		return false, fmt.Errorf("train on a disk of %d bytes: %w", bytes, err)
	}
	result, text, _ := strings.Cut(string(printed), "\n")
	after, err := decodeLines(text)
	if err != nil {
		return false, err
	}
	env.incomplete += countBroken(after)
	if result == "fits" {
		return true, nil
	}
	before, err := env.list(ctx, env.models)
	if err != nil {
		return false, err
	}
	return false, check(len(before) == len(after) && percents(before) == percents(after),
		"the full disk has the versions %v, before the training it had %v", after, before)
}

// sizeOf returns the size of the pages of all files below a folder, in bytes.
func sizeOf(folder string) (bytes int64, err error) {
	const page = 4 << 10
	err = filepath.WalkDir(folder, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += (info.Size() + page - 1) / page * page
		}
		return err
	})
	return bytes, err
}
