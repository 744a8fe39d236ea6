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
