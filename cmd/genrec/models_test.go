package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"genrec/pkg/embedded"
	"genrec/pkg/registry"
	"genrec/pkg/testservers"
	"genrec/retrain"
)

func TestModelsCommands(t *testing.T) { checkModelsCommands(t, t.TempDir()) }

func TestRealModelsCommands(t *testing.T) {
	checkModelsCommands(t, testservers.RequireS3(t).Location("shop/models"))
}

func checkModelsCommands(t *testing.T, location string) {
	t.Setenv("GENREC_MODELS", location)
	t.Setenv("GENREC_MODELS_CACHE", t.TempDir())
	models := publishVersions(t, location, os.Getenv("GENREC_MODELS_CACHE"))
	for _, step := range []struct{ line, want string }{
		{"models list", "v000001 .* published +100 % before\nv000002 .* v000001 +published +100 %\nv000003 .* refused: NDCG@10 fell"},
		{"models show v000002 --check", "users 20.*\n.*HR@10 0.2500(.*\n)*metrics.json +[0-9]+ +[0-9a-f]{64}\nweights +1 .*\n\nall checksums match"},
		{"models rollback", "^serving v000001 100 %\n$"},
		{"models promote v000003", "^v000003 was refused by the gate: NDCG@10 fell\nserving v000003 100 %\n$"},
		{"models split v000001:70 v000002:30", "^serving v000001 70 %, v000002 30 %\n$"},
		{"models list", "v000001 .* 70 %\nv000002 .* 30 %\nv000003 .* 100 % before"},
		{"models prune --keep 1", "nothing to remove"},
		{"models promote v000003", "serving v000003"},
		{"models promote v000003 --json", `^(.*\n)?{"serving":\[{"version":"v000003","percent":100}\]}\n$`},
		{"models prune --keep 1 --json", `^{"removed":\["v000001","v000002"\]}\n$`},
	} {
		printed, err := runCommand(t, strings.Fields(step.line)...)
		if err != nil || !regexp.MustCompile(step.want).MatchString(printed) {
			t.Errorf("genrec %s: error %v, printed\n%s\nwant %s", step.line, err, printed, step.want)
		}
	}
	if left, err := models.Versions(t.Context()); err != nil || !slices.Equal(left, []string{"v000003"}) {
		t.Errorf("left are %v (%v), want v000003", left, err)
	}
}

func TestModelsJSON(t *testing.T) {
	t.Setenv("GENREC_MODELS", t.TempDir())
	publishVersions(t, os.Getenv("GENREC_MODELS"), "")
	printed, err := runCommand(t, "models", "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var got []registry.VersionInfo
	for decoder := json.NewDecoder(strings.NewReader(printed)); decoder.More(); {
		var line registry.VersionInfo
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if len(got) != 3 || got[0].Before != 100 || got[1].Percent != 100 || got[1].Parent != "v000001" ||
		got[2].State != registry.StateRefused || got[2].Reason != "NDCG@10 fell" || got[2].Bytes == 0 {
		t.Errorf("printed %s", printed)
	}
	shown, err := runCommand(t, "models", "show", "v000001", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var version struct {
		Version string
		Files   []registry.File
		Metrics retrain.Report
	}
	if err := json.Unmarshal([]byte(shown), &version); err != nil {
		t.Fatal(err)
	}
	if version.Version != "v000001" || len(version.Files) != 2 || version.Metrics.Users != 10 {
		t.Errorf("printed %s", shown)
	}
}

func TestModelsUsageErrors(t *testing.T) {
	t.Setenv("GENREC_MODELS", t.TempDir())
	publishVersions(t, os.Getenv("GENREC_MODELS"), "")
	if err := os.WriteFile(filepath.Join(os.Getenv("GENREC_MODELS"), "versions", "v000001", "weights"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"models dance":                       `unknown command "dance"`,
		"models promote":                     "name one version, not 0",
		"models promote v000009":             "genrec models list prints all versions",
		"models promote ../x":                "invalid version name",
		"models show v000001 v000002":        "name one version, not 2",
		"models show v000001 --check":        "file weights has SHA-256",
		"models split v000001:50 v000002:60": "add up to 100 percent, not to 110",
		"models split v000001:x v000002":     "VERSION:PERCENT",
		"models split":                       "add up to 100 percent, not to 0",
		"models rollback v000001":            "unexpected argument",
		"models prune --keep 0":              "--keep: 0 is less than 1",
		"models list --models s3://":         "want a location such as s3://bucket/prefix",
	} {
		if _, err := runCommand(t, strings.Fields(line)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("genrec %s: error %v, want one with %q", line, err, want)
		}
	}
	if _, err := runCommand(t, "models", "rollback", "--models", t.TempDir()); err == nil || !strings.Contains(err.Error(), "nothing was served before") {
		t.Errorf("a rollback of nothing: error %v", err)
	}
}

// The commands in docs/MODELS.md succeed, one after the other.
func TestModelsPageCommands(t *testing.T) {
	page, err := os.ReadFile("../../docs/MODELS.md")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	publishVersions(t, folder, "")
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	ours := strings.NewReplacer("/srv/models", folder, "redis:6379", servers.RedisAddr())
	found := regexp.MustCompile(`(?m)^genrec models .*$`).FindAllString(string(page), -1)
	if len(found) < 6 {
		t.Fatalf("docs/MODELS.md shows the commands %q, want one of each kind", found)
	}
	for _, line := range found {
		if _, err := runCommand(t, strings.Fields(ours.Replace(line))[1:]...); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// A wrong password ends a service at its start.
func TestRealRefusedBucketCredentials(t *testing.T) {
	location := testservers.RequireS3(t).Location("models")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	for _, line := range []string{"models list", "infer --kafka 127.0.0.1:1 --redis 127.0.0.1:1", "retrain --data testdata/ring.txt"} {
		_, err := runCommand(t, append(strings.Fields(line), "--models", location, "--models-cache", t.TempDir())...)
		if err == nil || !strings.Contains(err.Error(), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("genrec %s: error %v, want one that says what to set, without the secret", line, err)
		}
	}
}

func TestRealConfigChecksTheBucket(t *testing.T) {
	location, cache := testservers.RequireS3(t).Location("models"), t.TempDir()
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	check := func() (string, error) {
		return runCommand(t, "config", "check", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr(),
			"--models", location, "--models-cache", cache)
	}
	if printed, err := check(); err != nil || !strings.Contains(printed, "has no version yet") {
		t.Errorf("of an empty bucket: error %v, printed\n%s", err, printed)
	}
	publishVersions(t, location, cache)
	if printed, err := check(); err != nil || !strings.Contains(printed, "is serving v000002 100 %") {
		t.Errorf("config check: error %v, printed\n%s", err, printed)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	if _, err := check(); err == nil || !strings.Contains(err.Error(), "set AWS_ACCESS_KEY_ID") {
		t.Errorf("with a wrong password: error %v", err)
	}
}

// Training and evaluation work with models in a bucket.
func TestRealTrainingIntoABucket(t *testing.T) {
	location, cache := testservers.RequireS3(t).Location("models"), t.TempDir()
	recipe := filepath.Join(t.TempDir(), "quick.json")
	if err := os.WriteFile(recipe, []byte(quickRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	report := runJSON[retrain.Report](t, "genrec", "retrain", "--data", "testdata/ring.txt", "--recipe", recipe,
		"--models", location, "--models-cache", cache, "--device", "cpu", "--json")
	metrics := runJSON[retrain.Metrics](t, "genrec", "eval", "--data", "testdata/ring.txt",
		"--model", location, "--models-cache", t.TempDir(), "--device", "cpu", "--json")
	if metrics != report.LeaveOneOut {
		t.Errorf("eval finds %+v, retrain found %+v", metrics, report.LeaveOneOut)
	}
}
