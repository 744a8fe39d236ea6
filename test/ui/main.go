// Command ui tests the playground in Chromium: the page of genrec all, while events of a small shop arrive and
// genrec is killed and restarted, and the page of genrec demo.
//
//	ui checks=… failed=… update_p95_ms=…
//
// It fails unless failed is 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"genrec/test/harness"
)

type settings struct {
	genrec, chromium, shots, docs string
	seed                          int64
	clicks                        int
}

func main() {
	var s settings
	flag.StringVar(&s.genrec, "genrec", "bin/genrec", "genrec `BINARY`")
	flag.StringVar(&s.chromium, "chromium", "", "`PROGRAM` that deploy/chromium/setup.sh prints")
	flag.StringVar(&s.shots, "shots", "bin/ui", "`FOLDER` for screenshots and the logs of genrec")
	flag.StringVar(&s.docs, "docs", "", "`FOLDER` for the two screenshots in README.md; empty: do not update them")
	flag.Int64Var(&s.seed, "seed", 1, "seed of the shop")
	flag.IntVar(&s.clicks, "clicks", 60, "timed clicks")
	harness.Main("test-ui", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) (err error) {
	if s.chromium == "" {
		return errors.New("-chromium is required; make test-ui sets it")
	}
	if s.genrec, err = filepath.Abs(s.genrec); err != nil {
		return err
	}
	if err := os.MkdirAll(s.shots, 0o755); err != nil {
		return err
	}
	models, err := os.MkdirTemp("", "genrec-ui-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(models)) }()
	env, err := newEnvironment(ctx, s, models)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.close()) }()
	tab, closeTab, err := openTab(ctx, s.chromium)
	if err != nil {
		return err
	}
	defer closeTab()
	scenario := &scenario{settings: s, env: env, tab: tab}
	scenario.run() //nolint:contextcheck // the tab's context is of ctx
	fmt.Printf("ui checks=%d failed=%d update_p95_ms=%.0f\n", scenario.checks, scenario.failed, scenario.updateP95())
	if scenario.failed > 0 {
		return fmt.Errorf("%d of %d checks failed, see above; screenshots and logs are in %s", scenario.failed, scenario.checks, s.shots)
	}
	return nil
}
