// Command cases runs genrec on each file of a folder of inputs that once caused failures, with a real Kafka
// and Redis, and compares the results with the table in cases.go.
//
//	cases tried=… right=…
//
// It fails unless all are right. A case that is missing in the table or in the folder counts as wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"genrec/test/harness"
)

type settings struct {
	genrec, jars, clients, folder, only string
}

func main() {
	var s settings
	flag.StringVar(&s.genrec, "genrec", "bin/genrec", "genrec `BINARY`")
	flag.StringVar(&s.jars, "kafka-jars", "", "`FOLDER` that deploy/kafka/setup.sh prints")
	flag.StringVar(&s.clients, "clients", "", "`FOLDER` that deploy/clients/setup.sh prints")
	flag.StringVar(&s.folder, "cases", "../shared/cases", "`FOLDER` of the inputs")
	flag.StringVar(&s.only, "only", "", "run only the case `NAME`")
	harness.Main("try-cases", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) (err error) {
	if s.jars == "" || s.clients == "" {
		return errors.New("-kafka-jars and -clients are required; make try-cases sets them")
	}
	for _, path := range []*string{&s.genrec, &s.folder} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	names, err := namesOf(s)
	if err != nil {
		return err
	}
	env, err := newEnvironment(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.close()) }()
	right := 0
	for _, name := range names {
		ok, err := env.runCase(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if ok {
			right++
		}
	}
	fmt.Printf("cases tried=%d right=%d\n", len(names), right)
	if right < len(names) {
		return fmt.Errorf("%d of %d cases failed, see above", len(names)-right, len(names))
	}
	return nil
}

// readme describes the folder; it is not a case.
const readme = "README.md"

// namesOf lists the cases of the folder and those of the table.
func namesOf(s settings) ([]string, error) {
	entries, err := os.ReadDir(s.folder)
	if err != nil {
		return nil, fmt.Errorf("read the folder of cases: %w", err)
	}
	all := make(map[string]bool)
	for name := range cases {
		all[name] = true
	}
	for _, entry := range entries {
		if entry.Name() != readme {
			all[entry.Name()] = true
		}
	}
	if s.only != "" {
		if !all[s.only] {
			return nil, fmt.Errorf("no case %q in %s", s.only, s.folder)
		}
		return []string{s.only}, nil
	}
	return slices.Sorted(maps.Keys(all)), nil
}
