package main

import (
	"context"
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

	"genrec/model"
	"genrec/pkg/embedded"
	"genrec/pkg/recs"
	"genrec/pkg/stream"
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

	found := examine(t, line)
	for _, subject := range []string{"Kafka", "topics", "history"} {
		if f := found[subject]; f.OK || !strings.Contains(f.Remedy, "start ingest") {
			t.Errorf("without topics and a history it says of %s: %+v", subject, f)
		}
	}
	if err := os.Mkdir(history, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := stream.EnsureTopics(t.Context(), stream.Cluster{Brokers: servers.KafkaBrokers()}, stream.DefaultTopics(), 1); err != nil {
		t.Fatal(err)
	}
	found = examine(t, line)
	for _, subject := range []string{"libtorch", "GPU", "Kafka", "topics", "Redis", "clock", "history", "model"} {
		if f, looked := found[subject]; !f.OK || strings.Contains(f.Text, "not examined") {
			t.Errorf("with all in order it says of %s: %+v (examined: %v)", subject, f, looked)
		}
	}
	servers.Redis().RequireAuth("hunter2")
	if f := examine(t, line)["Redis"]; f.OK || f.Remedy == "" || strings.Contains(f.Text, "hunter2") {
		t.Errorf("without the password it says of Redis: %+v", f)
	}
}

// Whatever is wrong, the doctor says what to do.
func TestDoctorAlwaysKnowsARemedy(t *testing.T) {
	t.Setenv("GENREC_MODELS", t.TempDir())
	publishVersions(t, os.Getenv("GENREC_MODELS"), "") // which are no models
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
		f, looked := examine(t, append([]string{"doctor", "--json"}, strings.Fields(c.line)...))[c.subject]
		if !looked || f.OK || f.Remedy == "" || f.Text == "" {
			t.Errorf("with %q it says of %s: %+v, want something wrong and a remedy", c.line, c.subject, f)
		}
	}
}

// What only a server can have wrong: topics set otherwise, and a clock behind.
func TestDoctorExaminesServers(t *testing.T) {
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
	all := examineAll(t, []string{"doctor", "--json", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr()})
	if f := all["topics"][0]; f.OK || !strings.Contains(f.Text, `"interactions" is compacted`) {
		t.Errorf("of a compacted topic it says %+v", f)
	}
	found := map[string]finding{"topics": all["topics"][1], "clock": all["clock"][0]}
	for subject, want := range map[string]struct{ text, remedy string }{
		"topics": {"cleanup.policy=delete, max.message.bytes=1000", "set max.message.bytes to"},
		"clock":  {"that of Redis is 1m0s behind this machine's", "let both follow a time server"},
	} {
		if f := found[subject]; f.OK || !strings.Contains(f.Text, want.text) || !strings.Contains(f.Remedy, want.remedy) {
			t.Errorf("of %s it says %+v, want %+v", subject, f, want)
		}
	}
}

// A GPU that is asked for has to be there; libtorch cannot do without.
func TestDoctorMissesTheGPU(t *testing.T) {
	if _, err := model.ParseDevice("cuda"); err == nil {
		t.Skip("this machine has a GPU")
	}
	found := examine(t, []string{"doctor", "--json", "--device", "cuda", "--models", t.TempDir()})
	for _, subject := range []string{"libtorch", "GPU"} {
		if f := found[subject]; f.OK || !strings.Contains(f.Remedy, "--device cpu") {
			t.Errorf("of %s it says %+v, want a remedy with --device cpu", subject, f)
		}
	}
}

// A Redis that forgets is found out by what it tells of itself.
func TestDoctorFindsAForgetfulRedis(t *testing.T) {
	for _, c := range []struct {
		info string
		want []string // remedies
	}{
		{"# Memory\r\nused_memory:5\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\nrole:master\r\n", nil},
		{"maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nused_memory:5\r\nrole:master\r\n", []string{"set maxmemory-policy noeviction", "set appendonly yes"}},
		{"used_memory:95\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:slave\r\n", []string{"raise maxmemory, or give it less to keep", "connect to the master"}},
		{"maxmemory_policy:volatile-ttl\r\n", []string{"set maxmemory-policy noeviction", "permit INFO to this user (+info), or look at the server's own settings"}},
	} {
		client := redis.NewClient(&redis.Options{})
		client.AddHook(info(c.info))
		var remedies []string
		for _, f := range examineKeeping(t.Context(), client) {
			remedies = append(remedies, f.Remedy)
		}
		if !slices.Equal(remedies, c.want) {
			t.Errorf("of a Redis with %q it advises %q, want %q", c.info, remedies, c.want)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

// info is a Redis that answers with this.
type info string

func (info) DialHook(next redis.DialHook) redis.DialHook { return next }

func (i info) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.(*redis.StringCmd).SetVal(string(i))
		return nil
	}
}

func (info) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestDoctorFindsABrokenModel(t *testing.T) {
	folder := t.TempDir()
	text, err := runCommand(t, "doctor", "--models", folder)
	if err != nil || !strings.Contains(text, "genrec retrain makes the first one") {
		t.Errorf("without a model it ends with %v and prints\n%s", err, text)
	}
	folder = filepath.Join(folder, "models")
	if text, err := runCommand(t, "doctor", "--models", folder); err != nil || !strings.Contains(text, "genrec retrain makes the first one") {
		t.Errorf("without the models' folder it ends with %v and prints\n%s", err, text)
	}
	if _, err := runCommand(t, "models", "list", "--models", folder); exitCode(err) != 2 || !strings.Contains(err.Error(), "not there yet") {
		t.Errorf("models list ends with %v, want it to miss the folder", err)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("commands that only look have made the models' folder")
	}
}

// A model that serves, and a Redis that has lost what all users share: doctor and recommend
// name what is missing.
func TestLostKeysAreNamed(t *testing.T) {
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
			t.Errorf("recommend ends with %v, want it to name %s", err, key)
		}
	}
	ofShared := func() (f finding) {
		t.Helper()
		all := examineAll(t, []string{"doctor", "--json", "--redis", servers.RedisAddr(), "--models", models, "--device", "cpu"})["Redis"]
		return all[len(all)-1]
	}
	if f := ofShared(); f.OK || !strings.Contains(f.Text, "popular items (genrec:popular), the format (genrec:format)") || !strings.Contains(f.Remedy, "start infer") {
		t.Errorf("of an empty Redis, doctor says %+v", f)
	}
	rdb := redis.NewClient(&redis.Options{Addr: servers.RedisAddr()})
	defer rdb.Close()
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	popular := recs.List{RecID: "p", Items: []recs.ScoredItem{{Item: "a", Score: 1}}}
	near := maps.All(map[string]recs.Near{"a": {{Item: "b", Score: 1}}})
	if err := errors.Join(store.Claim(t.Context()), store.PutPopular(t.Context(), popular), store.PutNear(t.Context(), near)); err != nil {
		t.Fatal(err)
	}
	if f := ofShared(); !f.OK || !strings.Contains(f.Text, "has what infer writes for all users") {
		t.Errorf("of a Redis with all keys, doctor says %+v", f)
	}
	if _, err := runCommand(t, "recommend", "--user", "ann", "--redis", servers.RedisAddr(), "--exclude", "a"); err == nil || !strings.Contains(err.Error(), "leaves none") {
		t.Errorf("with all items excluded, recommend ends with %v", err)
	}
}

// examine returns of each subject the last finding, or the first one that is not in order.
func examine(t *testing.T, line []string) map[string]finding {
	t.Helper()
	found := make(map[string]finding)
	for subject, all := range examineAll(t, line) {
		found[subject] = all[len(all)-1]
		if i := slices.IndexFunc(all, func(f finding) bool { return !f.OK }); i >= 0 {
			found[subject] = all[i]
		}
	}
	return found
}

// examineAll returns all findings by subject.
func examineAll(t *testing.T, line []string) map[string][]finding {
	t.Helper()
	printed, _ := runCommand(t, line...) // fails where something is wrong
	found := make(map[string][]finding)
	for text := range strings.Lines(printed) {
		var f finding
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatalf("doctor prints %q: %v", text, err)
		}
		found[f.Subject] = append(found[f.Subject], f)
	}
	return found
}
