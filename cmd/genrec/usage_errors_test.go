package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"genrec dance", `unknown command "dance"`},
		{"genrec ingst", `did you mean "ingest"?`},
		{"genrec models lst", `did you mean "list"?`},
		{"genrec ingest --kafak x", "--kafak: unknown flag: did you mean --kafka?\nfor help: genrec ingest --help"},
		{"genrec ingest --window lots", `--window: "lots"`},
		{"genrec ingest kafka:9092", `unexpected argument "kafka:9092"`},
		{"genrec ingest --config no-such-file", "--config: open no-such-file"},
		{"genrec --log-level loud demo", "--log-level"},
		{"genrec demo --data no-such-file", "no-such-file"},
		{"genrec demo --rate 0", "--rate"},
		{"genrec demo --device tpu", "--device"},
		{"genrec recommend --user ann", "--redis is required"},
		{"genrec recommend --redis 127.0.0.1:1", "--user is required"},
		{"genrec recommend --redis 127.0.0.1:1 --user ann", "read the recommendations"},
		{"genrec recommend --redis 127.0.0.1:1 --user ann -n 101", "-n: 101 is not between 1 and 100"},
		{"genrec serve", "--redis is required"},
		{"genrec serve --redis 127.0.0.1:1 --listen 8080", "--listen"},
		{"genrec serve --redis 127.0.0.1:1 --tls-cert x", "a server certificate and its key are needed together"},
		{"genrec serve --redis 127.0.0.1:1 --tokens-file /no/such", "--tokens-file: open /no/such"},
		{"genrec serve --redis 127.0.0.1:1 --rate-limit -1", "--rate-limit: -1 is less than 0"},
		{"genrec ingest --from noon", `--from: "noon" is neither earliest, latest nor a time`},
		{"genrec retrain --data x --history y", "--data, --history: both are training data"},
		{"genrec ingest --history main_test.go", "--history: open the history"},
		{"genrec dead dance", `unknown command "dance"`},
		{"genrec dead list", "--kafka is required"},
		{"genrec dead list --kafka x --since noon", "--since"},
		{"genrec import", "name the files"},
		{"genrec import x.csv", "--redis is required"},
		{"genrec import --redis x x.csv", "--kafka is required"},
		{"genrec import --dry-run --format dance x.csv", `--format: "dance" is none of`},
		{"genrec import --dry-run --resume x x.csv", "choose one"},
		{"genrec import --dry-run --column user=who x.csv", `--column: "user=who": "user" is none of user_id`},
		{"genrec import --dry-run --event-type look=view x.csv", `--event-type: "look=view": "look" is none of view`},
		{"genrec retrain", "--redis or --data is required"},
		{"genrec retrain --data x --redis y", "choose one"},
		{"genrec retrain --data no-such-file", "no-such-file"},
		{"genrec retrain --data x --recipe secret", `"secret" is neither a file nor one of bart, default, paper`},
		{"genrec retrain --nproc 0 --data x", "--nproc: 0 is less than 1"},
		{"genrec retrain --schedule noon --redis x", `--schedule: schedule "noon": expected exactly 5 fields`},
		{"genrec all --schedule noon", `--schedule: schedule "noon"`},
		{"genrec all --page 8090", `--page: "8090" is not HOST:PORT`},
		{"genrec demo --page no.such.host:1", "--page: listen at no.such.host:1"},
		{"genrec retrain --schedule @daily --data x", "nothing new to learn from --data"},
		{"genrec retrain --schedule @daily", "--redis is required"},
		{"genrec retrain --data x --stage fright", `"fright" is neither full nor finetune`},
		{"genrec retrain --data x --max-memory plenty", `--max-memory: "plenty" is not a size`},
		{"genrec retrain --data testdata/ring.txt --max-steps -1", "--max-steps: -1 is less than 0"},
		{"genrec retrain --data testdata/ring.txt --max-time -1s", "--max-time: -1s is less than 0s"},
		{"genrec retrain --data testdata/ring.txt --progress loud", `"loud" is neither auto nor json`},
		{"genrec eval --model m", "--data is required"},
		{"genrec eval --model no-such-model --data testdata/ring.txt", "no-such-model"},
		{"genrec eval --model m --data testdata/ring.txt --ids secret", `"secret" is neither published nor permuted`},
	} {
		app := newApp()
		app.Writer, app.ErrWriter = io.Discard, io.Discard
		if err := app.Run(t.Context(), strings.Fields(c.line)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.line, err, c.want)
		}
	}
}

// All problems of the command line, environment variables and the file are reported at once,
// each with its place, and so are all missing flags.
func TestAllProblemsAtOnce(t *testing.T) {
	file := write(t, "stage: fright\nlatency-targte: 80ms\n")
	t.Setenv("GENREC_MAX_MEMORY", "plenty")
	_, err := runCommand(t, "infer", "--windwo", "9", "--partitions", "none", "--config", file, "--models")
	want := "6 problems:\n" +
		"  --windwo: unknown flag: did you mean --window?\n" +
		`  --partitions: "none" is not an integer, or too large` + "\n" +
		"  --models: a value is missing\n" +
		`  GENREC_MAX_MEMORY: "plenty" is not a size such as 6GiB` + "\n"
	if err == nil || !strings.HasPrefix(err.Error(), want) ||
		!strings.Contains(err.Error(), file+`:1: stage: "fright" is neither`) || !strings.Contains(err.Error(), file+":2: latency-targte: unknown setting") {
		t.Errorf("infer: error %v, want it to begin with %q and to name the lines of the file", err, want)
	}
	t.Setenv("GENREC_MAX_MEMORY", "")
	for line, missing := range map[string][]string{
		"recommend":                          {"--user is required", "--redis is required"},
		"forget":                             {"--user or --users-file is required", "--kafka is required", "--redis is required"},
		"import --no-refresh":                {"name the files", "--redis is required", "--kafka is required, for dead letters and refreshes"},
		"export":                             {"name one file", "--redis is required"},
		"eval":                               {"--data is required", "--model is required"},
		"serve --tls-cert x":                 {"--tls-cert: ", "--redis is required"},
		"retrain --recipe secret":            {"--recipe: ", "--redis or --data is required"},
		"ingest --kafka-user u":              {"a password is required", "--kafka-sasl is required"},
		"retrain --schedule @daily --data x": {"nothing new to learn from --data", "--redis is required"},
	} {
		_, err := runCommand(t, strings.Fields(line)...)
		if exitCode(err) != 2 {
			t.Errorf("%s: error %v, exit code %d, want 2", line, err, exitCode(err))
		}
		for _, want := range missing {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: error %v, want one with %q", line, err, want)
			}
		}
	}
}

// With an invalid file, version, completion and help still work, and the commands that inspect
// settings report it.
func TestInvalidFile(t *testing.T) {
	file := write(t, "window: lots\npartitions: 9\n")
	t.Setenv("GENREC_CONFIG", file)
	for _, line := range []string{"version", "--version", "help", "help ingest", "ingest --help", "models", "completion bash", "ingest --generate-shell-completion"} {
		if printed, err := runCommand(t, strings.Fields(line)...); err != nil || printed == "" {
			t.Errorf("%q: error %v, printed %q", line, err, printed)
		}
	}
	printed, err := runCommand(t, "config")
	if exitCode(err) != 2 || !strings.Contains(err.Error(), file+":1: window: ") || !strings.Contains(printed, file+":2") {
		t.Errorf("config: error %v, printed\n%s", err, printed)
	}
	if _, err := runCommand(t, "config", "check", "--device", "cuda", "--recipe", "secret"); err == nil || !strings.Contains(err.Error(), file+":1: window: ") || !strings.Contains(err.Error(), "--recipe: ") {
		t.Errorf("config check: error %v", err)
	}
	if f := findings(t, []string{"doctor", "--json", "--models", t.TempDir()}); f["settings"].OK || !strings.Contains(f["settings"].Text, file+":1: window: ") || !f["model"].OK {
		t.Errorf("doctor reports %+v", f)
	}
	t.Setenv("GENREC_CONFIG", "/no/such/file")
	if f := findings(t, []string{"doctor", "--json"})["settings"]; f.OK || !strings.Contains(f.Text, "GENREC_CONFIG: open /no/such/file") {
		t.Errorf("without the file, doctor reports %+v", f)
	}
	if _, err := runCommand(t, "ingest"); exitCode(err) != 2 {
		t.Errorf("without the file, ingest: error %v", err)
	}
}
