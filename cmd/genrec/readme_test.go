package main

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/embedded"
	"genrec/pkg/stream"
)

// readmeBlocks returns the fenced blocks of a language in README.md.
func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, match := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, strings.TrimSpace(match[1]))
	}
	if len(blocks) == 0 {
		t.Fatalf("README.md has no %s block", language)
	}
	return blocks
}

func readmeCommands(t *testing.T) []string {
	var commands []string
	for _, block := range readmeBlocks(t, "sh") {
		commands = append(commands, strings.Split(block, "\n")...)
	}
	return commands
}

// Every command of README.md has the documented effect, with embedded servers in place of
// those at its addresses.
func TestReadmeCommands(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	listen := freeAddress(t)
	t.Setenv("GENREC_LISTEN", listen)
	here := strings.NewReplacer(
		"localhost:9092", servers.KafkaBrokers()[0], "localhost:6379", servers.RedisAddr(),
		"localhost:8080", listen, "events.csv", "testdata/readme.csv", "/tmp/beauty", t.TempDir(), "../shared/data/Beauty.txt", "testdata/ring.txt",
	)
	t.Setenv("GENREC_MODELS", t.TempDir())
	t.Setenv("GENREC_PRETRAIN_EPOCHS", "1")
	t.Setenv("GENREC_FINETUNE_EPOCHS", "1")

	var services errgroup.Group
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	run := func(line string) error {
		return newApp().Run(ctx, append([]string{"genrec"}, strings.Fields(here.Replace(line))[1:]...))
	}
	for _, line := range readmeCommands(t) {
		switch {
		case strings.HasPrefix(line, "make "):
			if out, err := dryRun(line); err != nil {
				t.Errorf("%q: %v\n%s", line, err, out)
			}
		case strings.HasPrefix(line, "bin/genrec ingest"):
			services.Go(func() error { return run(line) })
			produceReadmeEvent(t, servers)
		case strings.HasPrefix(line, "bin/genrec infer"), strings.HasPrefix(line, "bin/genrec serve"):
			services.Go(func() error { return run(line) })
		case strings.HasPrefix(line, "bin/genrec import"), strings.HasPrefix(line, "bin/genrec retrain"), strings.HasPrefix(line, "bin/genrec eval"):
			if err := run(line); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		case strings.HasPrefix(line, "redis-cli GET "):
			awaitKey(t, servers, "genrec:recs:{bob}") // who was imported
			awaitKey(t, servers, "genrec:popular")
			checkReadmeAnswer(t, servers, strings.Trim(strings.TrimPrefix(line, "redis-cli GET "), "'"))
		case strings.HasPrefix(line, "curl "):
			await(t, "answer to "+line, func() bool {
				out, err := exec.Command("bash", "-c", here.Replace(line)).Output()
				return err == nil && strings.Contains(string(out), `"user_id":"alice","source":"model"`)
			})
		default:
			t.Errorf("README.md contains a command that this test does not run: %q", line)
		}
	}
	if err := run("genrec recommend --redis localhost:6379 --user alice"); err != nil {
		t.Errorf("recommend: %v", err)
	}
	stop()
	if err := services.Wait(); err != nil {
		t.Errorf("a service ended with %v", err)
	}
}

// dryRun runs a make command with -n.
func dryRun(command string) (output []byte, err error) {
	return exec.Command("bash", "-c", strings.Replace(command, "make", "make -C ../.. -n", 1)).CombinedOutput()
}

func produceReadmeEvent(t *testing.T, servers *embedded.Servers) {
	t.Helper()
	cluster := kafkaOf(servers)
	if err := stream.EnsureTopics(t.Context(), cluster, stream.DefaultTopics(), 4); err != nil {
		t.Fatal(err)
	}
	w := stream.NewWriter(cluster, stream.DefaultTopics().Interactions)
	defer w.Close()
	event := []byte(readmeBlocks(t, "json")[0])
	if err := w.WriteMessages(t.Context(), kafka.Message{Key: []byte("alice"), Value: event}); err != nil {
		t.Fatal(err)
	}
}

// checkReadmeAnswer compares the fields of recommendations with those in README.md.
func checkReadmeAnswer(t *testing.T, servers *embedded.Servers, key string) {
	t.Helper()
	awaitKey(t, servers, key)
	value, err := servers.Redis().Get(key)
	if err != nil {
		t.Fatal(err)
	}
	var got, shown map[string]any
	if err := json.Unmarshal([]byte(value), &got); err != nil {
		t.Fatalf("%s holds %q: %v", key, value, err)
	}
	if err := json.Unmarshal([]byte(readmeBlocks(t, "json")[1]), &shown); err != nil {
		t.Fatalf("README.md's recommendations are not JSON: %v", err)
	}
	if have, want := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(shown)); !slices.Equal(have, want) {
		t.Errorf("%s has the fields %v, README.md shows %v", key, have, want)
	}
	if items, _ := got["items"].([]any); len(items) != 3 {
		t.Errorf("%s has %d items, want the 3 that alice does not have", key, len(items))
	}
}
