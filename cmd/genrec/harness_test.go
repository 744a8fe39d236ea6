package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"genrec/pkg/embedded"
	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/retrain"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	embeddedtest.Main(m)
}

// runCommand runs a command and returns its output.
func runCommand(t *testing.T, line ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	app := newApp()
	app.Writer, app.ErrWriter = &out, &out
	err := app.Run(t.Context(), append([]string{"genrec"}, line...))
	return out.String(), err
}

// runJSON runs a command and decodes its output.
func runJSON[T any](t *testing.T, line ...string) (printed T) {
	t.Helper()
	var out bytes.Buffer
	app := newApp()
	app.Writer = &out
	if err := app.Run(t.Context(), line); err != nil {
		t.Fatalf("%v: %v", line, err)
	}
	if err := json.Unmarshal(out.Bytes(), &printed); err != nil {
		t.Fatalf("%v printed no JSON: %v", line, err)
	}
	return printed
}

// asProgram is the environment variable that makes the test binary run as genrec.
const asProgram = "GENREC_TEST_AS_PROGRAM"

// program returns a command that runs genrec as a process, and a function that returns its logs.
func program(t *testing.T, arguments ...string) (cmd *exec.Cmd, logs func() string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "logs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	cmd = exec.CommandContext(t.Context(), path, arguments...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = file
	return cmd, func() string {
		data, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

// stderrOf returns what f writes to stderr.
func stderrOf(t *testing.T, f func()) []byte {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = write
	defer func() { os.Stderr = stderr }()
	all := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(read)
		all <- text
	}()
	func() {
		defer write.Close()
		f()
	}()
	return <-all
}

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	embeddedtest.Eventually(t, func() string {
		if done() {
			return ""
		}
		return what + " did not happen"
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(t *testing.T, url string, status int) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		t.Fatalf("%s answers %d, %s (%v), want %d", url, answer.StatusCode, body, err, status)
	}
	return string(body)
}

// awaitMetric waits for a line that matches.
func awaitMetric(t *testing.T, url, line string) {
	t.Helper()
	want := regexp.MustCompile("(?m)^" + line + "$")
	embeddedtest.Eventually(t, func() string {
		if got := get(t, url+"/metrics", http.StatusOK); !want.MatchString(got) {
			return fmt.Sprintf("%s/metrics has no line %q, but\n%s", url, line, got)
		}
		return ""
	})
}

func awaitKey(t *testing.T, servers *embedded.Servers, key string) {
	t.Helper()
	await(t, "key "+key, func() bool { return servers.Redis().Exists(key) })
}

func kafkaOf(servers *embedded.Servers) stream.Cluster {
	return stream.Cluster{Brokers: servers.KafkaBrokers()}
}

// embeddedKafka starts a Kafka with the topics.
func embeddedKafka(t *testing.T) stream.Cluster {
	t.Helper()
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.Close)
	cluster := stream.Cluster{Brokers: servers.KafkaBrokers()}
	if err := stream.EnsureTopics(t.Context(), cluster, stream.DefaultTopics(), 1); err != nil {
		t.Fatal(err)
	}
	return cluster
}

const quickRecipe = `{
  "item_text": "padded",
  "model": {
    "d_model": 16, "max_position_embeddings": 64, "dropout": 0.1, "init_std": 0.02,
    "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32
  },
  "pretrain_epochs": 1, "finetune_epochs": 2, "batch_size": 16, "learning_rate": 0.005,
  "weight_decay": 0.01, "unknown_user": 0, "validation_users": 6, "patience": 5
}`

// publishVersions publishes v000001 to v000003, the last one refused by the gate.
func publishVersions(t *testing.T, location, cache string) *registry.Registry {
	t.Helper()
	models, err := registry.Connect(t.Context(), location, cache)
	if err != nil {
		t.Fatal(err)
	}
	for i, options := range [][]registry.PublishOption{nil, {registry.Parent("v000001")}, {registry.Refused("NDCG@10 fell")}} {
		d, err := models.Draft()
		if err != nil {
			t.Fatal(err)
		}
		defer d.Discard()
		metrics, err := json.Marshal(retrain.Report{Users: 10 * (i + 1), LeaveOneOut: retrain.Metrics{HR10: .25}})
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{retrain.MetricsFile: metrics, "weights": []byte("w")} {
			if err := os.WriteFile(filepath.Join(d.Dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		version, err := d.Publish(t.Context(), options...)
		if err == nil && i < 2 {
			err = models.Promote(t.Context(), version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return models
}
