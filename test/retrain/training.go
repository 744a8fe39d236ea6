package main

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// report is what a training prints.
type report struct {
	Version string `json:"version"`
	Items   int    `json:"items"`
	Gate    struct {
		Promoted bool   `json:"promoted"`
		Reason   string `json:"reason"`
	} `json:"gate"`
	Split []struct{} `json:"split"` // what it waits for
}

// small is a model that two cores train in seconds.
var small = []string{
	"--set", "model.d_model=32", "--set", "model.encoder_ffn_dim=64", "--set", "model.decoder_ffn_dim=64", "--set", "model.dropout=0.1",
	"--set", "batch_size=64", "--set", "pretrain_epochs=2", "--set", "finetune_epochs=6", "--set", "least_steps=0", "--set", "patience=3",
}

// training is the command line of one in a folder of models.
func (w *world) training(models string, more ...string) []string {
	args := []string{"retrain", "--json", "--redis", w.redis.Address(), "--history", w.history, "--models", models}
	return append(append(args, small...), more...)
}

// train runs a training to its end, and counts what became of it.
func (w *world) train(ctx context.Context, more ...string) (r report, err error) {
	start := time.Now()
	said, err := w.genrec(ctx, &r, w.training(w.models, more...)...)
	if err != nil {
		return r, err
	}
	if strings.Contains(said, "resuming the interrupted training") {
		w.resumed++
	}
	if r.Gate.Promoted {
		w.published++
	} else {
		w.refused++
	}
	slog.Info("trained", "version", r.Version, "promoted", r.Gate.Promoted, "reason", r.Gate.Reason, "took", time.Since(start).Round(time.Millisecond))
	return r, nil
}

// killed kills trainings at points spread over all of one, lets each be run again, and looks
// each time whether the versions are whole and the stream goes on.
func (w *world) killed(ctx context.Context) error {
	start := time.Now()
	if _, err := w.train(ctx); err != nil {
		return err
	}
	whole := time.Since(start)
	for i := range w.s.kills {
		if err := w.visits(ctx, w.shop.users[:50], 1); err != nil {
			return err
		}
		part := (float64(i) + w.random.Float64()) / float64(w.s.kills)
		for tries, before := 0, w.kills; w.kills == before && tries < 3; tries++ {
			took, err := w.kill(ctx, time.Duration(part*float64(whole)))
			if err != nil {
				return err
			}
			if w.kills == before { // it was quicker than those before
				whole = took
			}
		}
		if err := w.halfPublishedIn(ctx, w.models); err != nil {
			return err
		}
		if _, err := w.train(ctx); err != nil {
			return fmt.Errorf("after a kill %.0f %% through: %w", 100*part, err)
		}
	}
	_, err := w.settled(ctx)
	return err
}

// kill starts a training and ends it as a crash does; one that was quicker is no kill, and
// took that long.
func (w *world) kill(ctx context.Context, after time.Duration) (took time.Duration, err error) {
	cmd := exec.CommandContext(ctx, w.s.genrec, w.training(w.models)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start a training: %w", err)
	}
	start := time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 { // by a signal
			w.kills++
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

// halfPublishedIn counts versions that are not whole.
func (w *world) halfPublishedIn(ctx context.Context, models string) error {
	all, err := w.list(ctx, models)
	if err != nil {
		return err
	}
	w.halfPublished += broken(all)
	for _, v := range all {
		if _, err := w.genrec(ctx, nil, "models", "show", "--check", "--models", models, v.Version); err != nil {
			slog.Error("a version is not whole", "version", v.Version, "cause", err)
			w.halfPublished++
		}
	}
	return nil
}

func broken(all []listed) (n int) {
	for _, v := range all {
		if v.Problem != "" {
			n++
		}
	}
	return n
}

func (w *world) list(ctx context.Context, models string) ([]listed, error) {
	text, err := exec.CommandContext(ctx, w.s.genrec, "models", "list", "--models", models, "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("list the versions in %s: %w", models, err)
	}
	return decodeLines(string(text))
}

// serving is what is served, such as v000001=50,v000002=50.
func (w *world) serving(ctx context.Context) (string, error) {
	all, err := w.list(ctx, w.models)
	return percents(all), err
}

func percents(all []listed) string {
	var shares []string
	for _, v := range all {
		if v.Percent > 0 {
			shares = append(shares, fmt.Sprintf("%s=%d", v.Version, v.Percent))
		}
	}
	return strings.Join(shares, ",")
}
