package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/embedded"
	"genrec/pkg/recs"
	"genrec/sessions"
)

// docsBlocks returns the fenced blocks of a language in a page of docs.
func docsBlocks(t *testing.T, page, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, strings.TrimSpace(match[1]))
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no %s block", page, language)
	}
	return blocks
}

// The commands in docs/READING.md and docs/REDIS.md have the documented effects.
func TestReadingCommands(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	rdb := redis.NewClient(&redis.Options{Addr: servers.RedisAddr()})
	defer rdb.Close()
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	items := []recs.ScoredItem{{Item: "B0009V1YR8", Score: 3}, {Item: "B00150LT40", Score: 2}, {Item: "B0002OMBC6", Score: 1}}
	if err := store.PutPopular(t.Context(), recs.List{RecID: "p", Items: items}); err != nil {
		t.Fatal(err)
	}
	for _, block := range docsBlocks(t, "REDIS.md", "sh") {
		for line := range strings.Lines(block) {
			if command, found := strings.CutPrefix(strings.TrimSpace(line), "redis-cli "); found {
				var words []any
				for word := range strings.FieldsSeq(strings.ReplaceAll(command, "'", "")) {
					words = append(words, word)
				}
				if err := rdb.Do(t.Context(), words...).Err(); err != nil {
					t.Errorf("%q: %v", line, err)
				}
			}
		}
	}

	here := strings.NewReplacer("localhost:8080", freeAddress(t), "localhost:6379", servers.RedisAddr(), "localhost:9092", servers.KafkaBrokers()[0])
	t.Setenv("GENREC_LISTEN", here.Replace("localhost:8080"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	for _, block := range docsBlocks(t, "READING.md", "sh") {
		for line := range strings.Lines(block) {
			line = here.Replace(strings.TrimSpace(line))
			if strings.HasPrefix(line, "genrec serve") {
				go func() { done <- newApp().Run(ctx, strings.Fields(line)) }()
				await(t, "the server", func() bool {
					answer, err := http.Get("http://" + here.Replace("localhost:8080") + "/readyz")
					if err == nil {
						answer.Body.Close()
					}
					return err == nil && answer.StatusCode == http.StatusOK
				})
				continue
			}
			out, err := exec.CommandContext(t.Context(), "bash", "-c", strings.Replace(line, "curl ", "curl --silent --show-error --fail-with-body ", 1)).CombinedOutput()
			if err != nil || !json.Valid(out) {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			if strings.Contains(line, "/v1/users/alice") && !strings.Contains(string(out), `"items":[{"item_id":"B00150LT40"`) {
				t.Errorf("%s answers\n%s\nwant the item that is not blocked", line, out)
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with error %v, want none", err)
	}

	if exec.Command("python3", "-c", "import redis").Run() != nil {
		t.Log("docs/READING.md's Python was not run: pip install redis")
	} else if out, err := exec.CommandContext(t.Context(), "python3", "-c", here.Replace(docsBlocks(t, "READING.md", "python")[0])).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "['B00150LT40', 'B0002OMBC6']" {
		t.Errorf("docs/READING.md's Python: %v\n%s", err, out)
	}
	example, err := os.ReadFile("../../pkg/recs/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(docsBlocks(t, "READING.md", "go")[0]) {
		if !strings.Contains(string(example), strings.TrimSpace(line)) {
			t.Errorf("pkg/recs/example_test.go lacks the line of docs/READING.md %q", line)
		}
	}
}

// A Redis that refuses the login ends serve, with a hint.
func TestServeEndsIfRedisRefuses(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	servers.Redis().RequireAuth("hunter2")
	_, err = runCommand(t, "serve", "--redis", servers.RedisAddr(), "--listen", freeAddress(t))
	if err == nil || !strings.Contains(err.Error(), "check the user and the password") {
		t.Errorf("serve: error %v, want a hint", err)
	}
}
