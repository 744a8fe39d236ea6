package main

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/embedded"
	"genrec/pkg/testservers"
	"genrec/retrain"
)

// pages returns the lines of the shell blocks of all pages, by path from the root.
func pages(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob("../../" + pattern)
		if err != nil || len(paths) < 3 {
			t.Fatalf("%s are %q (error %v)", pattern, paths, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := []string{}
			for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)\n```").FindAllStringSubmatch(string(text), -1) {
				lines = append(lines, strings.Split(block[1], "\n")...)
			}
			found[strings.TrimPrefix(path, "../../")] = lines
		}
	}
	return found
}

// ownTests are the pages whose commands are run by tests of their own.
var ownTests = map[string]func(*testing.T){
	"README.md":       TestReadmeCommands,
	"docs/DEPLOY.md":  TestDeployCommands,
	"docs/MODELS.md":  TestModelsPageCommands,
	"docs/READING.md": TestReadingCommands,
	"docs/REDIS.md":   TestRedisPageCommands, // and TestReadingCommands
}

// Every command of every page succeeds, with embedded servers in place of those at its
// addresses. Commands of make are checked by TestDocsCommands.
func TestPages(t *testing.T) {
	servers, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	all := pages(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	enterWorkFolder(t, servers)
	for _, page := range slices.Sorted(maps.Keys(all)) {
		if ownTests[page] != nil {
			continue
		}
		t.Run(page, func(t *testing.T) {
			metrics := freeAddress(t)
			reader := &pageRunner{root: root, known: knownNames(), metrics: metrics, here: strings.NewReplacer(
				"localhost:9092", servers.KafkaBrokers()[0], "localhost:6379", servers.RedisAddr(),
				"kafka:9092", servers.KafkaBrokers()[0], "redis:6379", servers.RedisAddr(),
				"../shared/data/Beauty.txt", filepath.Join(root, "cmd/genrec/testdata/ring.txt"), "0.0.0.0:9464", metrics, "localhost:9464", metrics, ":8443", freeAddress(t), "/srv/", t.TempDir()+"/",
			)}
			reader.read(t, append(all[page], profiles(t, filepath.Join(root, page))...))
		})
	}
}

// profiles are the commands in the text of a page that fetch a profile of a service.
func profiles(t *testing.T, path string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile("`(go tool pprof [^`]+)`").FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, line[1])
	}
	return lines
}

// enterWorkFolder changes to a folder with all files that pages name.
func enterWorkFolder(t *testing.T, servers *embedded.Servers) {
	t.Helper()
	dir := t.TempDir()
	files := []string{"testdata/readme.csv"}
	for _, name := range []string{"ratings.dat", "reviews_2023.jsonl", "sessions.jsonl", "clicks.csv"} {
		files = append(files, filepath.Join("../../ingest/importer/testdata", name))
	}
	if err := os.CopyFS(filepath.Join(dir, "orders"), os.DirFS("../../ingest/importer/testdata/orders")); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, strings.Replace(filepath.Base(file), "readme", "events", 1)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	authority, err := testservers.NewAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue("localhost")
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{ // of other recommenders, for docs/MIGRATION.md
		"feedback.csv":     "feedback_type,user_id,item_id,time_stamp\nread,ann,hat,2026-03-01 12:00:00\nstar,ann,cap,2026-03-01 12:01:00\n",
		"interactions.csv": "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\nann,hat,1772366400,purchase\n",
	}
	for name, text := range exports {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings := "kafka: " + servers.KafkaBrokers()[0] + "\nredis: " + servers.RedisAddr() + "\n"
	if err := errors.Join(
		os.Rename(issued.Cert, "cert.pem"), os.Rename(issued.Key, "key.pem"),
		os.WriteFile("tokens", []byte("0123456789abcdef\n"), 0o600), os.WriteFile("genrec.yaml", []byte(settings), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GENREC_CONFIG", filepath.Join(dir, "genrec.yaml"))
	t.Setenv("GENREC_PRETRAIN_EPOCHS", "1")
	t.Setenv("GENREC_FINETUNE_EPOCHS", "1")
	for _, line := range []string{"import events.csv", "export events.csv.gz", "export more.jsonl.zst", "export old.parquet"} {
		if out, err := runCommand(t, strings.Fields(line)...); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

// pageRunner runs the commands of a page.
type pageRunner struct {
	root    string
	metrics string // the address of a service that is asked for its metrics
	here    *strings.Replacer
	known   map[string]bool
}

func (r *pageRunner) read(t *testing.T, lines []string) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var services errgroup.Group
	for _, line := range lines {
		line, _, _ = strings.Cut(line, "   # ")
		line, _, _ = strings.Cut(line, " > ") // where the output goes
		words := strings.Fields(r.here.Replace(line))
		switch {
		case len(words) == 0 || words[0] == "make":
		case words[0] == "export":
			r.checkVariables(t, words[1:])
		case words[0] == "genrec" && slices.Contains([]string{"ingest", "infer", "serve"}, words[1]):
			metrics := r.metrics
			if !slices.Contains(words, "--metrics") {
				metrics = freeAddress(t)
				words = append(words, "--metrics", metrics)
			}
			services.Go(func() error { return newApp().Run(ctx, words) })
			await(t, "the readiness of "+line, func() bool { return isReady(metrics) })
		case words[0] == "genrec":
			if slices.Contains(words, "--data") {
				t.Setenv("GENREC_CONFIG", "") // which names a Redis to train on
			}
			if out, err := runCommand(t, words[1:]...); err != nil {
				t.Errorf("%q: %v\n%s", line, err, out)
			}
		case words[0] == "curl":
			if out, err := exec.CommandContext(t.Context(), "bash", "-c", r.here.Replace(line)+" --fail-with-body --silent").CombinedOutput(); err != nil {
				t.Errorf("%q: %v\n%s", line, err, out)
			}
		case strings.HasPrefix(line, "go tool pprof "):
			short := append([]string{"tool", "pprof", "-seconds", "1", "-top"}, words[3:]...)
			if out, err := exec.CommandContext(t.Context(), "go", short...).CombinedOutput(); err != nil || !strings.Contains(string(out), "Type: cpu") {
				t.Errorf("%q: %v\n%s", line, err, out)
			}
		case words[0] == "go" || words[0] == ".":
			r.checkFiles(t, line)
		default:
			t.Errorf("%q is a command that this test does not run: teach it, or give the page a test of its own", line)
		}
	}
	stop()
	if err := services.Wait(); err != nil {
		t.Errorf("a service ended with %v", err)
	}
}

func isReady(address string) bool {
	answer, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// checkVariables checks that genrec or another tool reads the variables.
func (r *pageRunner) checkVariables(t *testing.T, set []string) {
	t.Helper()
	for _, pair := range set {
		name, value, _ := strings.Cut(pair, "=")
		if !r.known[name] && !strings.HasPrefix(name, "OTEL_") && !strings.HasPrefix(name, "AWS_") || value == "" {
			t.Errorf("%q sets a variable that nobody reads, or sets it to nothing", pair)
		}
	}
}

// checkFiles checks that the scripts, packages and tests exist that a line for contributors names.
func (r *pageRunner) checkFiles(t *testing.T, line string) {
	t.Helper()
	for _, path := range regexp.MustCompile(`(?:\./|deploy/)[a-z/_.]+`).FindAllString(line, -1) {
		if _, err := os.Stat(filepath.Join(r.root, path)); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if test := regexp.MustCompile(`-run (\w+)`).FindStringSubmatch(line); test != nil {
			if exec.CommandContext(t.Context(), "grep", "-rqE", `^func `+test[1]+`\(`, filepath.Join(r.root, path)).Run() != nil {
				t.Errorf("%q: there is no such test in %s", line, path)
			}
		}
	}
}

// Every make command on a page names an existing target, variables that the Makefile reads, and
// fields of a recipe.
func TestDocsCommands(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for page, lines := range pages(t) {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		var commands []string
		for _, match := range regexp.MustCompile("`(make [a-z][^`]*)`").FindAllStringSubmatch(string(text), -1) {
			commands = append(commands, match[1])
		}
		for _, line := range lines {
			if strings.HasPrefix(line, "make ") {
				commands = append(commands, line)
			}
		}
		for _, command := range commands {
			if out, err := dryRun(command); err != nil {
				t.Errorf("%s: %q: %v\n%s", page, command, err, out)
			}
			for _, variable := range regexp.MustCompile(`\b([A-Z]+)=`).FindAllStringSubmatch(command, -1) {
				if !strings.Contains(string(makefile), "$("+variable[1]+")") {
					t.Errorf("%s: %q sets %s, which the Makefile does not read", page, command, variable[1])
				}
			}
			if config := regexp.MustCompile(`CONFIG=(\S+)`).FindStringSubmatch(command); config != nil {
				var changes []string
				for _, set := range regexp.MustCompile(`--set ([^\s"]+)`).FindAllStringSubmatch(command, -1) {
					changes = append(changes, set[1])
				}
				if _, err := retrain.LoadRecipe(config[1], changes...); err != nil {
					t.Errorf("%s: %q: %v", page, command, err)
				}
			}
		}
	}
}

// Every file and heading that a page links to exists.
func TestLinksOfPages(t *testing.T) {
	for page := range pages(t) {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(text), -1) {
			path, heading, _ := strings.Cut(link[1], "#")
			if strings.HasPrefix(path, "http") {
				continue
			}
			there := text
			if path != "" {
				if there, err = os.ReadFile(filepath.Join("../..", filepath.Dir(page), path)); err != nil && !strings.Contains(err.Error(), "is a directory") {
					t.Errorf("%s links to %s: %v", page, link[1], err)
				}
			}
			if heading != "" && !slices.Contains(headings(string(there)), heading) {
				t.Errorf("%s links to %s, which has no such heading", page, link[1])
			}
		}
	}
}

// headings are the anchors of a page.
func headings(page string) (names []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// Every flag and environment variable that a page names exists.
func TestNamedFlagsExist(t *testing.T) {
	known := knownNames()
	for page := range pages(t) {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`(?m)^(helm|kubectl|docker) .*$`).ReplaceAll(text, nil) // have flags of their own
		for _, name := range regexp.MustCompile(`GENREC_[A-Z_]+[A-Z]|(?:genrec [a-z ]*|\x60)--[a-z][a-z-]*`).FindAllString(string(text), -1) {
			name = name[strings.LastIndexAny(name, "` ")+1:]
			if !known[name] && !otherNames[name] {
				t.Errorf("%s names %s, which genrec does not have", page, name)
			}
		}
	}
}

// otherNames belong to scripts and tools.
var otherNames = map[string]bool{"GENREC_CACHE": true, "GENREC_PEERS_PYTHON": true}

// knownNames are all flags and environment variables.
func knownNames() map[string]bool {
	known := map[string]bool{"--help": true, "GENREC_KAFKA_PASSWORD": true, "GENREC_REDIS_PASSWORD": true, tokensVariable: true}
	var learn func(commands []*cli.Command)
	learn = func(commands []*cli.Command) {
		for _, command := range commands {
			for _, flag := range command.Flags {
				known["--"+flag.Names()[0]] = true
				for _, variable := range flag.(cli.DocGenerationFlag).GetEnvVars() {
					known[variable] = true
				}
			}
			learn(command.Commands)
		}
	}
	app := newApp()
	learn(append(app.Commands, app.Command))
	return known
}

// Every genrec command that the text of a page mentions exists, with its flags.
func TestMentionedCommandsExist(t *testing.T) {
	mentioned := 0
	for page := range pages(t) {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile("(?s)```.*?```").ReplaceAll(text, nil) // run elsewhere
		for _, mention := range regexp.MustCompile("`(?:bin/)?genrec ([^`]+)`").FindAllStringSubmatch(string(text), -1) {
			mentioned++
			command := newApp().Command
			flags := knownFlags(command)
			for _, word := range strings.Fields(mention[1]) {
				name, _, _ := strings.Cut(word, "=")
				if strings.HasPrefix(name, "--") {
					if !flags[name] {
						t.Errorf("%s mentions %q, but genrec %s has no %s", page, mention[0], command.Name, name)
					}
					continue
				}
				if next := command.Command(word); next != nil {
					command = next
					for flag := range knownFlags(command) {
						flags[flag] = true
					}
				} else if len(command.Commands) > 0 {
					t.Errorf("%s mentions %q, but genrec has no such command", page, mention[0])
					break
				}
			}
		}
	}
	if mentioned == 0 {
		t.Error("the pages mention no command: does this test still know how they write them?")
	}
}

// knownFlags are the flags of one command.
func knownFlags(command *cli.Command) map[string]bool {
	known := map[string]bool{"--help": true}
	for _, flag := range command.Flags {
		for _, name := range flag.Names() {
			known["--"+name] = true
		}
	}
	return known
}
