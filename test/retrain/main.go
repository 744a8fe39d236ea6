// Command retrain tests nightly retraining end to end, with a real Kafka and Redis: events arrive, and
// models are trained, gated, served side by side and rolled back while trainings are killed and run
// out of disk space, and a reader requests recommendations all the time.
//
//	retrain kills=… resumed=… published=… refused=… half_published=… failed_requests=…
//
// It fails unless every step had the expected outcome and the last two are 0.
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
	flag.StringVar(&s.genrec, "genrec", "bin/genrec", "`program` to run")
	flag.StringVar(&s.jars, "kafka-jars", "", "`FOLDER` that deploy/kafka/setup.sh prints")
	flag.Uint64Var(&s.seed, "seed", 1, "of the events and of when trainings are killed")
	flag.IntVar(&s.kills, "kills", 10, "trainings to kill")
	flag.BoolVar(&s.verbose, "v", false, "show what the services log")
	harness.Main("night", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) (err error) {
	if s.jars == "" {
		return errors.New("-kafka-jars is needed: make test-retrain gives it")
	}
	if s.genrec, err = filepath.Abs(s.genrec); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "genrec-night-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	w, err := newWorld(ctx, s, folder)
	defer w.close()
	if err != nil {
		return err
	}
	if err := w.live(ctx); err != nil {
		return fmt.Errorf("seed %d: %w", s.seed, err)
	}
	fmt.Printf("retrain kills=%d resumed=%d published=%d refused=%d half_published=%d failed_requests=%d\n",
		w.kills, w.resumed, w.published, w.refused, w.halfPublished, w.reader.failed.Load())
	if w.halfPublished > 0 || w.reader.failed.Load() > 0 {
		return errors.New("versions were published by halves, or readers were failed")
	}
	return nil
}
