package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"genrec/cmd/genrec/doctor"
	"genrec/model"
	"genrec/pkg/embedded"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

func TestDoctor(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	history := filepath.Join(t.TempDir(), "history")
	line := []string{
		"doctor", "--json", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr(), "--models", t.TempDir(),
		"--history", history, "--device", "auto",
	}

	found := findings(t, line)
	for _, subject := range []string{"Kafka", "topics", "history"} {
		if f := found[subject]; f.OK || !strings.Contains(f.Hint, "start ingest") {
			t.Errorf("without topics and a history, %s: %+v", subject, f)
		}
	}
	if err := os.Mkdir(history, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := stream.EnsureTopics(t.Context(), stream.Cluster{Brokers: servers.KafkaBrokers()}, stream.DefaultTopics(), 1); err != nil {
		t.Fatal(err)
	}
	found = findings(t, line)
	for _, subject := range []string{"libtorch", "GPU", "Kafka", "topics", "Redis", "clock", "history", "model"} {
		if f, looked := found[subject]; !f.OK || strings.Contains(f.Text, "skipped") {
			t.Errorf("with everything in place, %s: %+v (checked: %v)", subject, f, looked)
		}
	}
	servers.Redis().RequireAuth("hunter2")
	if f := findings(t, line)["Redis"]; f.OK || f.Hint == "" || strings.Contains(f.Text, "hunter2") {
		t.Errorf("without the password, Redis: %+v", f)
	}
}

// Every failed check has a hint.
func TestDoctorAlwaysHasAHint(t *testing.T) {
	t.Setenv("GENREC_MODELS", t.TempDir())
	publishVersions(t, os.Getenv("GENREC_MODELS"), "") // which are not models
	for _, c := range []struct{ subject, line string }{
		{"Kafka", "--kafka 127.0.0.1:1"},
		{"topics", "--kafka 127.0.0.1:1"},
		{"Kafka", "--kafka x:1 --kafka-user ann"},
		{"Redis", "--redis 127.0.0.1:1"},
		{"Redis", "--redis x:1 --redis-user ann"},
		{"history", "--history /no/such/folder"},
		{"history", "--history /proc"},
		{"model", ""},
		{"model", "--models doctor_test.go"},
		{"model", "--models s3://"},
	} {
		f, looked := findings(t, append([]string{"doctor", "--json"}, strings.Fields(c.line)...))[c.subject]
		if !looked || f.OK || f.Hint == "" || f.Text == "" {
			t.Errorf("with %q, %s: %+v, want a failure with a hint", c.line, c.subject, f)
		}
	}
}

// Misconfigured topics and a clock that is behind are found.
func TestDoctorChecksServers(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	letters := stream.DefaultTopics().DeadLetters
	created, err := (&kafka.Client{Addr: kafka.TCP(servers.KafkaBrokers()...)}).CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: letters, NumPartitions: 2, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "cleanup.policy", ConfigValue: "delete"}, {ConfigName: "max.message.bytes", ConfigValue: "1000"}},
	}}})
	if err := errors.Join(err, created.Errors[letters]); err != nil {
		t.Fatal(err)
	}
	if err := stream.EnsureTopics(t.Context(), stream.Cluster{Brokers: servers.KafkaBrokers()}, stream.DefaultTopics(), 1); err != nil {
		t.Fatal(err)
	}
	set, err := (&kafka.Client{Addr: kafka.TCP(servers.KafkaBrokers()...)}).IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: stream.DefaultTopics().Interactions,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "cleanup.policy", Value: "compact", ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err := errors.Join(err, set.Resources[0].Error); err != nil {
		t.Fatal(err)
	}
	servers.Redis().SetTime(time.Now().Add(-time.Minute))
	all := allFindings(t, []string{"doctor", "--json", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr()})
	if f := all["topics"][0]; f.OK || !strings.Contains(f.Text, `"interactions" is compacted`) {
		t.Errorf("with a compacted topic: %+v", f)
	}
	found := map[string]doctor.Finding{"topics": all["topics"][1], "clock": all["clock"][0]}
	for subject, want := range map[string]struct{ text, hint string }{
		"topics": {"cleanup.policy=delete, max.message.bytes=1000", "set max.message.bytes to"},
		"clock":  {"the clock of Redis is 1m0s behind this machine's", "synchronize both with a time server"},
	} {
		if f := found[subject]; f.OK || !strings.Contains(f.Text, want.text) || !strings.Contains(f.Hint, want.hint) {
			t.Errorf("%s: %+v, want %+v", subject, f, want)
		}
	}
}

// With --device cuda, a missing GPU is a failure of libtorch and of the GPU.
func TestDoctorRequiresARequestedGPU(t *testing.T) {
	if _, err := model.ParseDevice("cuda"); err == nil {
		t.Skip("this machine has a GPU")
	}
	found := findings(t, []string{"doctor", "--json", "--device", "cuda", "--models", t.TempDir()})
	for _, subject := range []string{"libtorch", "GPU"} {
		if f := found[subject]; f.OK || !strings.Contains(f.Hint, "--device cpu") {
			t.Errorf("%s: %+v, want a hint with --device cpu", subject, f)
		}
	}
}

func TestDoctorWithoutAModel(t *testing.T) {
	folder := t.TempDir()
	text, err := runCommand(t, "doctor", "--models", folder)
	if err != nil || !strings.Contains(text, "genrec retrain creates the first one") {
		t.Errorf("without a model: error %v, printed\n%s", err, text)
	}
	folder = filepath.Join(folder, "models")
	if text, err := runCommand(t, "doctor", "--models", folder); err != nil || !strings.Contains(text, "genrec retrain creates the first one") {
		t.Errorf("without the models folder: error %v, printed\n%s", err, text)
	}
	if _, err := runCommand(t, "models", "list", "--models", folder); exitCode(err) != 2 || !strings.Contains(err.Error(), "does not exist yet") {
		t.Errorf("models list: error %v, want one about the missing folder", err)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("commands that only look have made the models' folder")
	}
}

// If a model serves and Redis has lost the keys for all users, doctor and recommend name the
// missing keys.
func TestLostKeysAreReported(t *testing.T) {
	models, recipe := t.TempDir(), filepath.Join(t.TempDir(), "quick.json")
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := runCommand(t, "retrain", "--data", "testdata/ring.txt", "--recipe", recipe, "--models", models, "--device", "cpu"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	_, err = runCommand(t, "recommend", "--user", "ann", "--redis", servers.RedisAddr())
	for _, key := range []string{"genrec:recs:{ann}", "genrec:near", "genrec:popular", "does infer run?"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("recommend: error %v, want one with %s", err, key)
		}
	}
	ofShared := func() (f doctor.Finding) {
		t.Helper()
		all := allFindings(t, []string{"doctor", "--json", "--redis", servers.RedisAddr(), "--models", models, "--device", "cpu"})["Redis"]
		return all[len(all)-1]
	}
	if f := ofShared(); f.OK || !strings.Contains(f.Text, "popular items (genrec:popular), the format (genrec:format)") || !strings.Contains(f.Hint, "start infer") {
		t.Errorf("with an empty Redis: %+v", f)
	}
	rdb := redis.NewClient(&redis.Options{Addr: servers.RedisAddr()})
	defer rdb.Close()
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	popular := recs.List{RecID: "p", Items: []recs.ScoredItem{{Item: "a", Score: 1}}}
	near := maps.All(map[string]userstate.SimilarItems{"a": {{Item: "b", Score: 1}}})
	if err := errors.Join(store.ClaimFormat(t.Context()), store.PutPopular(t.Context(), popular), store.PutSimilar(t.Context(), near)); err != nil {
		t.Fatal(err)
	}
	if f := ofShared(); !f.OK || !strings.Contains(f.Text, "has the keys that infer writes for all users") {
		t.Errorf("with all keys: %+v", f)
	}
	if _, err := runCommand(t, "recommend", "--user", "ann", "--redis", servers.RedisAddr(), "--exclude", "a"); err == nil || !strings.Contains(err.Error(), "leaves none") {
		t.Errorf("with all items excluded: error %v", err)
	}
}

// findings returns, for each subject, the first failed finding or else the last one.
func findings(t *testing.T, line []string) map[string]doctor.Finding {
	t.Helper()
	found := make(map[string]doctor.Finding)
	for subject, all := range allFindings(t, line) {
		found[subject] = all[len(all)-1]
		if i := slices.IndexFunc(all, func(f doctor.Finding) bool { return !f.OK }); i >= 0 {
			found[subject] = all[i]
		}
	}
	return found
}

// allFindings returns all findings by subject.
func allFindings(t *testing.T, line []string) map[string][]doctor.Finding {
	t.Helper()
	printed, _ := runCommand(t, line...) // fails where something is wrong
	found := make(map[string][]doctor.Finding)
	for text := range strings.Lines(printed) {
		var f doctor.Finding
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatalf("doctor prints %q: %v", text, err)
		}
		found[f.Subject] = append(found[f.Subject], f)
	}
	return found
}
