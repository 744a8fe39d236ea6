// Command containers runs the commands of docs/DEPLOY.md for images and Compose one by one and uses
// the services as a user would: it produces events at the published ports and checks
// recommendations, metrics, traces and the dashboard.
//
//	containers lines=… services=… healthy=… stand_ins=… build_s=… up_s=… recommendations_after_s=…
//
// It fails unless every command succeeds and every service does its part. It removes everything but
// the images.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"genrec/test/harness"
)

type settings struct {
	page, logs string
	cuda       bool
}

func main() {
	var s settings
	flag.StringVar(&s.page, "page", "docs/DEPLOY.md", "`FILE` whose commands are run")
	flag.StringVar(&s.logs, "logs", "bin/containers", "`FOLDER` for the output of commands and services")
	flag.BoolVar(&s.cuda, "cuda", false, "also build the CUDA image, which downloads 2 GB")
	harness.Main("test-containers", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) error {
	text, err := os.ReadFile(s.page)
	if err != nil {
		return err
	}
	commands, err := readPage(string(text), "Images", "On one machine")
	if err != nil {
		return fmt.Errorf("%s: %w", s.page, err)
	}
	if err := errors.Join(os.RemoveAll(s.logs), os.MkdirAll(s.logs, 0o755)); err != nil {
		return err
	}
	sh := &shell{logs: s.logs}
	st := &stack{shell: sh, compose: commands.compose}
	if err := st.checkPrerequisites(ctx); err != nil {
		return err
	}
	started := time.Now()
	for _, line := range commands.builds {
		if strings.Contains(line, "--target cuda") && !s.cuda {
			fmt.Printf("skipped without -cuda: %s\n", line)
			continue
		}
		if err := sh.run(ctx, line); err != nil {
			return err
		}
	}
	built := time.Since(started)
	if s.cuda { // the image must also run without a GPU
		if _, err := sh.output(ctx, "docker", "run", "--rm", "genrec:latest-cuda", "doctor"); err != nil {
			return err
		}
	}
	if err := st.test(ctx, commands); err != nil {
		return err
	}
	standIns, err := standIns(ctx, sh)
	if err != nil {
		return err
	}
	fmt.Printf("containers lines=%d services=%d healthy=%d stand_ins=%d build_s=%.0f up_s=%.0f recommendations_after_s=%.0f\n",
		sh.lines, len(st.services), st.healthy, standIns, built.Seconds(), st.up.Seconds(), st.recommendations.Seconds())
	return nil
}

// standIns counts the locally built images that replace those of a registry.
func standIns(ctx context.Context, sh *shell) (int, error) {
	out, err := sh.output(ctx, "docker", "image", "ls", "--filter", "label=genrec.stand-in", "--format", "{{.Repository}}")
	names := slices.DeleteFunc(strings.Fields(out), func(name string) bool { return name == "genrec" || name == "<none>" }) // those built from them
	return len(names), err
}

// shell runs commands and stores their output.
type shell struct {
	logs  string
	lines int // lines of the page that were run
}

// run runs a line of the page.
func (s *shell) run(ctx context.Context, line string) error {
	started := time.Now()
	s.lines++
	path := fmt.Sprintf("%s/%d.log", s.logs, s.lines)
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.Stdout, cmd.Stderr = log, log
	err = errors.Join(cmd.Run(), log.Sync())
	fmt.Printf("%6.1f s  %s\n", time.Since(started).Seconds(), line)
	if err != nil {
		output, _ := os.ReadFile(path)
		return fmt.Errorf("%q: %w; the output is in %s and ends with:\n%s", line, err, path, lastLines(string(output), 30))
	}
	return nil
}

// output runs a program and returns its standard output.
func (s *shell) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLines(stderr.String(), 5))
	}
	return string(out), nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
