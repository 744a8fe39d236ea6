// Command api tests "genrec serve", with a real Kafka and Redis, against its OpenAPI document:
// schemathesis generates valid and invalid requests and checks the responses. A seed reproduces the
// requests.
//
//	api cases=… failed=…
//
// It fails unless failed is 0 and every operation was tested.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/pkg/userstate"
	"genrec/sessions"
	"genrec/test/harness"
)

type settings struct {
	genrec, jars, clients, log string
	seed, examples             int
}

func main() {
	var s settings
	flag.StringVar(&s.genrec, "genrec", "bin/genrec", "genrec `BINARY`")
	flag.StringVar(&s.jars, "kafka-jars", "", "`FOLDER` that deploy/kafka/setup.sh prints")
	flag.StringVar(&s.clients, "clients", "", "`FOLDER` that deploy/clients/setup.sh prints")
	flag.StringVar(&s.log, "log", "bin/api.log", "`FILE` for the log of genrec")
	flag.IntVar(&s.seed, "seed", 1, "seed of the requests")
	flag.IntVar(&s.examples, "examples", 100, "random requests per operation, in addition to those for each keyword of its schema")
	harness.Main("test-api", func(ctx context.Context) error { return run(ctx, s) })
}

func run(ctx context.Context, s settings) (err error) {
	if s.jars == "" || s.clients == "" {
		return errors.New("-kafka-jars and -clients are required; make test-api sets them")
	}
	folder, err := os.MkdirTemp("", "genrec-api-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	servers, err := harness.StartServers(ctx, folder, testservers.KafkaConfig{Jars: s.jars})
	if err != nil {
		return err
	}
	defer servers.Close()
	if err := fill(ctx, servers.Kafka.Address(), servers.Redis.Address()); err != nil {
		return err
	}
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	address, err := testservers.FreeAddress()
	if err != nil {
		return err
	}
	server, err := harness.Start(log, log, s.genrec, append([]string{"serve", "--listen", address}, servers.Flags()...)...)
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	file := filepath.Join(folder, "report.json")
	runErr := runSchemathesis(ctx, s, "http://"+address, file)
	if exited := server.Failed(); exited != nil {
		return fmt.Errorf("see %s: %w", s.log, exited)
	}
	r, err := readReport(file)
	if err != nil {
		return errors.Join(runErr, err)
	}
	fmt.Printf("api cases=%d failed=%d\n", r.Cases.Generated, r.Cases.Failed+r.Cases.Errored)
	return errors.Join(runErr, r.check())
}

//go:embed schemathesis.toml
var config []byte

// runSchemathesis generates requests for every operation and writes a report.
func runSchemathesis(ctx context.Context, s settings, url, report string) error {
	configFile := filepath.Join(filepath.Dir(report), "schemathesis.toml")
	if err := os.WriteFile(configFile, config, 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "python3", "-m", "schemathesis.cli", "--config-file", configFile, "run", url+"/openapi.json",
		"--wait-for-schema", "30", "--continue-on-failure", "--no-color", "--warnings", "off",
		"--seed", strconv.Itoa(s.seed), "--max-examples", strconv.Itoa(s.examples), "--generation-database", "none",
		"--report-json-path", report)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+s.clients)
	cmd.Dir = filepath.Dir(report) // for its temporary files
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("schemathesis: %w", err)
	}
	return nil
}

// fill creates the topics, and popular items with categories so that every user gets recommendations.
func fill(ctx context.Context, kafka, redisAddress string) error {
	if err := stream.EnsureTopics(ctx, stream.Cluster{Brokers: []string{kafka}}, stream.DefaultTopics(), 1); err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: redisAddress})
	defer rdb.Close()
	store, err := sessions.Open(ctx, rdb, sessions.Options{})
	if err != nil {
		return err
	}
	popular := recs.List{GeneratedAt: time.Now(), Source: recs.SourcePopular}
	keys := userstate.Keys{Prefix: recs.DefaultPrefix}
	pipe := rdb.Pipeline()
	for i := range 200 {
		item := fmt.Sprintf("item-%03d", i)
		popular.Items = append(popular.Items, recs.ScoredItem{Item: item, Score: 1 / float64(i+1)})
		pipe.HSet(ctx, keys.Categories(), item, fmt.Sprint("category-", i%7))
	}
	_, err = pipe.Exec(ctx)
	return errors.Join(err, store.PutPopular(ctx, popular))
}

// report has the needed part of the report of schemathesis.
type report struct {
	Operations struct {
		Total, Tested int
	}
	Cases struct {
		Generated, Errored int
		Failed             int `json:"with_failures"`
	} `json:"test_cases"`
	// Rates counts valid requests by operation and phase.
	Rates map[string]map[string]struct {
		Accepted int
	} `json:"valid_rates"`
}

func readReport(path string) (r report, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("decode the schemathesis report: %w", err)
	}
	return r, nil
}

// check fails after failed cases, and if an operation was not tested or never accepted.
func (r report) check() error {
	if r.Cases.Failed+r.Cases.Errored > 0 {
		return fmt.Errorf("%d cases failed, see above", r.Cases.Failed+r.Cases.Errored)
	}
	if r.Operations.Total == 0 || r.Operations.Tested != r.Operations.Total {
		return fmt.Errorf("%d of %d operations were tested", r.Operations.Tested, r.Operations.Total)
	}
	for _, operation := range []string{"GET /v1/users/{id}/recommendations", "POST /v1/recommendations", "POST /v1/events"} {
		accepted := 0
		for _, phase := range r.Rates[operation] {
			accepted += phase.Accepted
		}
		if accepted == 0 {
			return fmt.Errorf("no request of %s was accepted", operation)
		}
	}
	return nil
}
