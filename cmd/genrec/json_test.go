package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"github.com/urfave/cli/v3"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/retrain"
	"genrec/sessions"
)

var update = flag.Bool("update", false, "write testdata/json.golden anew")

// silent are commands without output: services and groups.
var silent = []string{"all", "dead", "infer", "ingest", "models", "serve"}

// The JSON output of each command has the fields and types of testdata/json.golden, because
// scripts depend on them; -update rewrites the file.
func TestJSON(t *testing.T) {
	path := filepath.Join("testdata", "json.golden")
	golden, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	var printed strings.Builder
	shapes := commandShapes(t)
	for _, command := range slices.Sorted(maps.Keys(shapes)) {
		fmt.Fprintf(&printed, "== %s\n%s\n", command, shapes[command])
	}
	if *update {
		if err := os.WriteFile(path, []byte(printed.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if printed.String() != string(golden) {
		t.Errorf("commands print other JSON than %s has; if that is meant, run go test -run TestJSON ./cmd/genrec -update. They print\n%s", path, printed.String())
	}
	eachCommand(newApp().Commands, "", func(line string, _ *cli.Command) {
		name := strings.TrimSpace(line)
		_, tested := shapes[name]
		if tested == slices.Contains(silent, name) {
			t.Errorf("%q is tested with --json: %v; want it to have --json and to be tested, or to be silent", name, tested)
		}
	})
}

// commandShapes runs every command with output.
func commandShapes(t *testing.T) map[string]string {
	servers, rdb := embeddedtest.Start(t)
	fillForJSON(t, servers, rdb)
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	write := func(name, text string) {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	publishVersions(t, in("models"), "")
	write("recipe.json", quickRecipe)
	write("events.jsonl", `{"event_id": "1", "user_id": "bob", "item_id": "a", "timestamp": "2026-03-01T12:00:00Z"}`+"\nno event\n")
	t.Setenv("GENREC_KAFKA", servers.KafkaBrokers()[0])
	t.Setenv("GENREC_REDIS", servers.RedisAddr())
	t.Setenv("GENREC_MODELS", in("models"))
	t.Setenv("GENREC_DEVICE", "cpu")
	shapes := make(map[string]string)
	for _, c := range []struct{ command, rest string }{
		{"version", ""},
		{"config", ""},
		{"config check", ""},
		{"doctor", ""},
		{"recommend", "--user ann"},
		{"import", "--rejects " + in("rejects.jsonl") + " --no-refresh " + in("events.jsonl")},
		{"export", in("out.jsonl")},
		{"dead list", ""},
		{"dead replay", "--dry-run"},
		{"forget", "--user bob"},
		{"models list", ""},
		{"models show", "v000001 --check"},
		{"models compare", ""},
		{"models split", "v000001:60 v000002:40"},
		{"models promote", "v000001"},
		{"models rollback", ""},
		{"models prune", "--keep 1"},
		{"retrain", "--redis= --data testdata/ring.txt --models " + in("trained") + " --recipe " + in("recipe.json")},
		{"demo", "--data testdata/ring.txt --live 20 --rate 100 --page= --stay=false"},
		{"eval", "--data testdata/ring.txt --model " + in("trained")},
	} {
		var out bytes.Buffer
		app := newApp()
		app.Writer = &out
		line := "genrec " + c.command + " --json " + c.rest
		if err := app.Run(t.Context(), strings.Fields(line)); err != nil && c.command != "doctor" && !errors.Is(err, retrain.ErrRefused) {
			t.Errorf("%q: %v", line, err)
		}
		shapes[c.command] = shapeOf(t, line, out.Bytes())
	}
	return shapes
}

// fillForJSON writes data to Kafka and Redis for the commands to print.
func fillForJSON(t *testing.T, servers *embeddedtest.Servers, rdb *redis.Client) {
	t.Helper()
	if err := stream.EnsureTopics(t.Context(), servers.Cluster(), stream.DefaultTopics(), 1); err != nil {
		t.Fatal(err)
	}
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutPopular(t.Context(), recs.List{RecID: "p", Items: []recs.ScoredItem{{Item: "a", Score: 1}}}); err != nil {
		t.Fatal(err)
	}
	w := stream.NewDeadLetterWriter(servers.Cluster(), stream.DefaultTopics().DeadLetters)
	defer w.Close()
	original := kafka.Message{Topic: stream.DefaultTopics().Interactions, Key: []byte("ann"), Value: []byte("\xff{"), Headers: []kafka.Header{{Key: "trace", Value: []byte("abc")}}}
	if err := w.WriteMessages(t.Context(), stream.NewDeadLetter(original, "not_json", "detail")); err != nil {
		t.Fatal(err)
	}
}

// shapeOf returns a line for each field of JSON values, with its type.
func shapeOf(t *testing.T, line string, printed []byte) string {
	t.Helper()
	fields := make(map[string]bool)
	decoder := json.NewDecoder(bytes.NewReader(printed))
	values := 0
	for ; decoder.More(); values++ {
		var value any
		if err := decoder.Decode(&value); err != nil {
			t.Fatalf("%q prints no JSON: %v\n%s", line, err, printed)
		}
		addShape(fields, "", value)
	}
	if values == 0 {
		t.Errorf("%q prints nothing", line)
	}
	return strings.Join(slices.Sorted(maps.Keys(fields)), "\n") + "\n"
}

func addShape(fields map[string]bool, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, child := range v {
			addShape(fields, path+"."+name, child)
		}
	case []any:
		if len(v) == 0 {
			fields[path+"[]"] = true
		}
		for _, child := range v {
			addShape(fields, path+"[]", child)
		}
	case nil:
		fields[path+" null"] = true
	default:
		fields[fmt.Sprintf("%s %T", path, v)] = true
	}
}
