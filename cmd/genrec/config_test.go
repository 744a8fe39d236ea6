package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"genrec/pkg/embedded"
)

func TestConfigPrintsSettings(t *testing.T) {
	t.Setenv("GENREC_KAFKA", "a:1,b:2")
	t.Setenv("GENREC_TTL", "2h")
	t.Setenv("GENREC_WINDOW", "9")
	t.Setenv("GENREC_KAFKA_PASSWORD", "hunter2")
	t.Setenv("GENREC_TOKENS", "hunter6")
	passwordFile := write(t, "hunter3\n")
	file := write(t, "# of all services\nkafka: [c:3]\nlatency-target: 80ms\nwindow: 3\n")
	printed, err := runCommand(t, "--log-level", "error", "config", "--config", file,
		"--redis", "redis://hunter4@h:1", "--window", "7", "--models", "s3://id:hunter5@b", "--redis-password-file", passwordFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(printed, "hunter") {
		t.Errorf("a password is shown:\n%s", printed)
	}
	got := make(map[string]string)
	for line := range strings.Lines(printed) {
		name, rest, _ := strings.Cut(line, " ")
		got[name] = strings.Join(strings.Fields(rest), " ")
	}
	if _, listed := got["version"]; listed {
		t.Error("--version is printed as a setting")
	}
	for name, want := range map[string]string{
		"kafka":               "a:1,b:2 GENREC_KAFKA",
		"ttl":                 "2h0m0s GENREC_TTL",
		"window":              "7 --window",
		"partitions":          "4 default",
		"latency-target":      "80ms " + file + ":3",
		"log-level":           "error --log-level",
		"redis":               "(not shown)@h:1 --redis",
		"models":              "(not shown)@b --models",
		"kafka-password":      "(not shown) GENREC_KAFKA_PASSWORD",
		"redis-password":      "(not shown) --redis-password-file",
		"tokens":              "(not shown) GENREC_TOKENS",
		"redis-password-file": passwordFile + " --redis-password-file",
	} {
		if got[name] != want {
			t.Errorf("%s is printed as %q, want %q", name, got[name], want)
		}
	}
}

func TestConfigChecksServers(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	printed, err := runCommand(t, "config", "check", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr())
	if err != nil || !strings.Contains(printed, "allow everything") {
		t.Errorf("config check: error %v, printed\n%s", err, printed)
	}
	printed, err = runCommand(t, "config", "check", "--redis", servers.RedisAddr())
	if err != nil || !strings.Contains(printed, "the settings are valid; servers were not checked") {
		t.Errorf("without Kafka: error %v, printed\n%s", err, printed)
	}
	servers.Redis().RequireAuth("hunter2")
	_, err = runCommand(t, "config", "check", "--kafka", servers.KafkaBrokers()[0], "--redis", servers.RedisAddr())
	if err == nil || !strings.Contains(err.Error(), "check the user and the password") {
		t.Errorf("without the password, config check: error %v", err)
	}
}

// Settings that depend on each other are checked together, before any server is contacted.
func TestConfigCheckReportsAllProblems(t *testing.T) {
	t.Setenv("GENREC_DEVICE", "tpu")
	t.Setenv("GENREC_KAFKA_CA", "/no/such")
	file := write(t, "kafka: h:1\nredis: redis://ann:hunter2@h:1\nkafka-user: ann\nrecipe: secret\ntls-cert: x\ntokens-file: /no/such\nredis-user: bob\n")
	printed, err := runCommand(t, "config", "check", "--json", "--config", file, "--redis-key", "k")
	if err == nil || strings.Contains(err.Error()+printed, "hunter2") {
		t.Fatalf("config check: error %v", err)
	}
	for _, want := range []string{
		`GENREC_DEVICE: "tpu" is not one of`, file + ":2: redis: the URL contains a password", "GENREC_KAFKA_CA: read the CA: open /no/such", file + ":3: kafka-user: a password is required",
		file + ":3: kafka-user: --kafka-sasl is required", file + `:4: recipe: recipe "secret"`, file + ":5: tls-cert: ", file + ":6: tokens-file: ",
		file + ":7: redis-user: a password is required", "--redis-key: a client certificate and its key are needed together",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the check does not say %q:\n%v", want, err)
		}
	}
	var told struct{ Mistakes []problem }
	if err := json.Unmarshal([]byte(printed), &told); err != nil || len(told.Mistakes) != 10 || told.Mistakes[0].Where != "GENREC_DEVICE" {
		t.Errorf("as JSON, the check prints %s (error %v)", printed, err)
	}
	t.Setenv("GENREC_DEVICE", "")
	file = write(t, "kafka: h:1\nstage: fright\nschedule: noon\nmax-memory: plenty\nlatency-target: 0s\n")
	_, err = runCommand(t, "ingest", "--config", file)
	for _, want := range []string{"4 problems:", ":2: stage: ", ":3: schedule: ", ":4: max-memory: ", ":5: latency-target: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ingest does not say %q of a file, but %v", want, err)
		}
	}
}

// The file that docs/CONFIGURATION.md shows is accepted by all commands.
func TestDocumentedConfigFile(t *testing.T) {
	page, err := os.ReadFile("../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n# genrec.yaml\n")
	shown, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/CONFIGURATION.md shows no genrec.yaml")
	}
	path := write(t, shown)
	for _, command := range []string{"ingest", "infer", "retrain", "serve", "all", "config check"} {
		checkCommandLine(t, append(strings.Fields(command), "--config", path))
	}
	printed, err := runCommand(t, "config", "--config", path)
	if err != nil || strings.Count(printed, path+":") != strings.Count(shown, "\n") {
		t.Errorf("config: error %v, and %d of %d lines are printed as settings of the file:\n%s",
			err, strings.Count(printed, path+":"), strings.Count(shown, "\n"), printed)
	}
}

func TestInvalidCredentialFlags(t *testing.T) {
	t.Setenv("GENREC_REDIS_PASSWORD", "hunter2")
	empty, text := write(t, "\n"), write(t, "no certificate")
	for line, want := range map[string]string{
		"--redis h:1 --redis-password-file " + text:                                           "GENREC_REDIS_PASSWORD is set, too",
		"--redis redis://ann:hunter3@h:1":                                                     "the URL contains a password",
		"--redis redis://h:1,h:2":                                                             "a URL names a single Redis",
		"--redis http://hunter3":                                                              "neither HOST:PORT",
		"--redis h:1 --redis-ca " + text:                                                      "contains no PEM certificate",
		"--redis h:1 --redis-cert " + text:                                                    "needed together",
		"--redis h:1 --redis-cert " + text + " --redis-key " + text:                           "read the client certificate",
		"--redis h:1 --kafka h:1 --kafka-user ann":                                            "--kafka-user: a password is required",
		"--redis h:1 --kafka h:1 --kafka-password-file " + empty:                              "empty",
		"--redis h:1 --kafka h:1 --kafka-password-file /no/such":                              "/no/such",
		"--redis h:1 --kafka h:1 --kafka-user ann --kafka-password-file " + text:              "--kafka-sasl is required",
		"--redis h:1 --kafka h:1 --kafka-sasl plain":                                          "--kafka-user is required",
		"--redis h:1 --kafka h:1 --kafka-sasl x --kafka-user u --kafka-password-file " + text: "none of plain",
		"--redis h:1 --kafka-tls":                                                             "--kafka is required",
	} {
		command := "ingest"
		if !strings.Contains(line, "kafka") {
			command = "recommend --user ann"
		}
		_, err := runCommand(t, strings.Fields(command+" "+line)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s %s: error %v, want one with %q and no password", command, line, err, want)
		}
	}
}
