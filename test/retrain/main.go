// Command retrain tests nightly retraining end to end, with a real Kafka and Redis: events arrive, and
// models are trained, gated, split and rolled back, trainings are killed and run out of disk space, and a
// reader requests recommendations continuously.
//
//	retrain kills=… resumed=… published=… refused=… half_published=… failed_requests=…
//
// It fails unless every step had the expected result and the last two are 0.
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
	genrec, jars string
	seed         uint64
	kills        int
	verbose      bool
}

func main() {
	var s settings
	flag.StringVar(&s.genrec, "genrec", "bin/genrec", "genrec `BINARY`")
	flag.StringVar(&s.jars, "kafka-jars", "", "`FOLDER` that deploy/kafka/setup.sh prints")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of the events and of the times of kills")
	flag.IntVar(&s.kills, "kills", 10, "number of trainings to kill")
	flag.BoolVar(&s.verbose, "v", false, "print the logs of the services")
	harness.Main("test-retrain", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) (err error) {
	if s.jars == "" {
		return errors.New("-kafka-jars is required; make test-retrain sets it")
	}
	if s.genrec, err = filepath.Abs(s.genrec); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "genrec-retrain-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	env, err := newEnvironment(ctx, s, folder)
	defer env.close()
	if err != nil {
		return err
	}
	if err := env.run(ctx); err != nil {
		return fmt.Errorf("seed %d: %w", s.seed, err)
	}
	fmt.Printf("retrain kills=%d resumed=%d published=%d refused=%d half_published=%d failed_requests=%d\n",
		env.kills, env.resumed, env.published, env.refused, env.incomplete, env.reader.failed.Load())
	if env.incomplete > 0 || env.reader.failed.Load() > 0 {
		return errors.New("incomplete versions were published, or requests failed")
	}
	return nil
}
