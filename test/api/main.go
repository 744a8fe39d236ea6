// Command api tests "genrec serve", with a real Kafka and Redis, against its OpenAPI document:
// schemathesis generates valid and invalid requests and checks the responses. A seed reproduces the
// requests.
//
//	api cases=… failed=…
//
// It fails unless failed is 0 and every operation was tried.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"genrec/pkg/testservers"
	"genrec/test/harness"
)

type settings struct {
	genrec, jars, clients, log string
	seed, examples             int
}

func main() {
	var s settings
	flag.StringVar(&s.genrec, "genrec", "bin/genrec", "`program` to run")
	flag.StringVar(&s.jars, "kafka-jars", "", "`FOLDER` that deploy/kafka/setup.sh prints")
	flag.StringVar(&s.clients, "clients", "", "`FOLDER` that deploy/clients/setup.sh prints")
	flag.StringVar(&s.log, "log", "bin/api.log", "`FILE` for what genrec logs")
	flag.IntVar(&s.seed, "seed", 1, "of the requests")
	flag.IntVar(&s.examples, "examples", 100, "random requests for each operation, beside those for each keyword of its schema")
	harness.Main("test-api", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) (err error) {
	if s.jars == "" || s.clients == "" {
		return errors.New("-kafka-jars and -clients are needed: make test-api gives them")
	}
	folder, err := os.MkdirTemp("", "genrec-api-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	kafka, err := testservers.StartKafka(ctx, testservers.KafkaConfig{Jars: s.jars, Folder: folder})
	if err != nil {
		return err
	}
	defer kafka.Close()
	redis, err := testservers.StartRedis(ctx, testservers.RedisConfig{Folder: folder})
	if err != nil {
		return err
	}
	defer redis.Close()
	if err := fill(ctx, kafka.Address(), redis.Address()); err != nil {
		return err
	}
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	server, err := harness.StartPrinting(log, log, s.genrec, "serve", "--kafka", kafka.Address(), "--redis", redis.Address(), "--listen", address)
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	file := filepath.Join(folder, "report.json")
	tried := tryAll(ctx, s, "http://"+address, file)
	if ended := server.Failed(); ended != nil {
		return fmt.Errorf("see %s: %w", s.log, ended)
	}
	r, err := readReport(file)
	if err != nil {
		return errors.Join(tried, err)
	}
	fmt.Printf("api cases=%d failed=%d\n", r.Cases.Generated, r.Cases.Failed+r.Cases.Errored)
	return errors.Join(tried, r.check())
}

//go:embed schemathesis.toml
var config []byte

// tryAll lets schemathesis try every operation.
func tryAll(ctx context.Context, s settings, url, report string) error {
	configFile := filepath.Join(filepath.Dir(report), "schemathesis.toml")
	if err := os.WriteFile(configFile, config, 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "python3", "-m", "schemathesis.cli", "--config-file", configFile, "run", url+"/openapi.json",
		"--wait-for-schema", "30", "--continue-on-failure", "--no-color", "--warnings", "off",
		"--seed", strconv.Itoa(s.seed), "--max-examples", strconv.Itoa(s.examples), "--generation-database", "none",
		"--report-json-path", report)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+s.clients)
	cmd.Dir = filepath.Dir(report) // where it leaves nothing behind
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("schemathesis: %w", err)
	}
	return nil
}
