// Command cases runs genrec on each file of a folder of inputs that once failed, with a real Kafka and
// Redis, and compares the outcome with the table in cases.go.
//
//	cases tried=… right=…
//
// It fails unless all are right. A file that is missing in the table is tried and counts as wrong, as
// does one that is missing in the folder.
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
	flag.StringVar(&s.genrec, "genrec", "bin/genrec", "`program` to run")
	flag.StringVar(&s.jars, "kafka-jars", "", "`FOLDER` that deploy/kafka/setup.sh prints")
	flag.StringVar(&s.clients, "clients", "", "`FOLDER` that deploy/clients/setup.sh prints")
	flag.StringVar(&s.folder, "cases", "../shared/cases", "`FOLDER` of the inputs")
	flag.StringVar(&s.only, "only", "", "try this `NAME` alone")
	harness.Main("try-cases", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) (err error) {
	if s.jars == "" || s.clients == "" {
		return errors.New("-kafka-jars and -clients are needed: make try-cases gives them")
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
	w, err := newWorld(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	right := 0
	for _, name := range names {
		ok, err := w.try(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if ok {
			right++
		}
	}
	fmt.Printf("cases tried=%d right=%d\n", len(names), right)
	if right < len(names) {
		return fmt.Errorf("%d of %d cases are not right, see above", len(names)-right, len(names))
	}
	return nil
}

// readme of the folder tells people what is in it.
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
			return nil, fmt.Errorf("there is no case %q in %s", s.only, s.folder)
		}
		return []string{s.only}, nil
	}
	return slices.Sorted(maps.Keys(all)), nil
}
