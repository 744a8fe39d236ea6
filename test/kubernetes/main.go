// Command kubernetes installs the Helm chart in a real Kubernetes control plane, by the commands and
// values of docs/DEPLOY.md and with the values in the chart's ci folder. It checks that the API server accepts
// everything without warnings, that controllers create the pods and admission lets them run, and that
// upgrade, rollback and uninstallation work. Nodes are simulated by kwok: no container runs.
//
//	helm installs=… upgrades=… objects=… pods_admitted=… refused=…
//
// It fails unless everything is as documented and refused is 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"

	"genrec/test/harness"
)

type settings struct {
	programs, tools, logs string
}

func main() {
	var s settings
	flag.StringVar(&s.programs, "programs", "", "`FOLDER` that deploy/kubernetes/setup.sh prints")
	flag.StringVar(&s.tools, "tools", "", "`FOLDER` that deploy/check/setup.sh prints")
	flag.StringVar(&s.logs, "logs", "bin/kubernetes", "`FOLDER` for the logs of the servers")
	harness.Main("test-kubernetes", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) (err error) {
	if s.programs == "" || s.tools == "" {
		return errors.New("-programs and -tools are required; make test-kubernetes sets them")
	}
	pages, err := readPages()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "genrec-kubernetes-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	env, err := newEnvironment(ctx, s, folder)
	if err != nil {
		return err
	}
	defer env.cluster.Close()
	scenario := &scenario{environment: env}
	if err := scenario.execute(ctx, pages); err != nil {
		return fmt.Errorf("%w\nsee the logs of Kubernetes in %s", errors.Join(err, env.cluster.Failed()), s.logs)
	}
	counts := scenario.counts
	fmt.Printf("helm installs=%d upgrades=%d objects=%d pods_admitted=%d refused=%d\n",
		counts.installs, counts.upgrades, counts.objects, counts.admitted, counts.refused)
	if counts.refused > 0 {
		return fmt.Errorf("%d pods were refused, see above", counts.refused)
	}
	return nil
}

// pages has the commands and files of docs/DEPLOY.md and docs/TRAINING.md for Kubernetes.
type pages struct {
	values string   // content of values.yaml
	lines  []string // commands of helm and kubectl
	job    string   // manifest of the distributed training job
}

var blocks = regexp.MustCompile("(?s)```(yaml|sh)\n(.*?)```")

func readPages() (p pages, err error) {
	deploy, err := os.ReadFile("docs/DEPLOY.md")
	if err != nil {
		return p, fmt.Errorf("read the commands to run: %w", err)
	}
	training, err := os.ReadFile("docs/TRAINING.md")
	if err != nil {
		return p, fmt.Errorf("read the training job: %w", err)
	}
	for _, block := range blocks.FindAllStringSubmatch(string(training), -1) {
		if strings.HasPrefix(block[2], "apiVersion:") {
			p.job = block[2]
		}
	}
	for _, block := range blocks.FindAllStringSubmatch(string(deploy), -1) {
		if block[1] == "yaml" {
			p.values = block[2]
			continue
		}
		for line := range strings.Lines(block[2]) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "helm ") || strings.HasPrefix(line, "kubectl ") {
				p.lines = append(p.lines, line)
			}
		}
	}
	if p.values == "" || len(p.lines) == 0 || p.job == "" {
		return p, errors.New("docs/DEPLOY.md must contain values and commands, and docs/TRAINING.md a job")
	}
	return p, nil
}
