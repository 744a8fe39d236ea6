package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/stream"
)

// manifestsVariable names the folder with the manifests of deploy/, rendered as JSON by
// "make check-deploy".
const manifestsVariable = "GENREC_TEST_MANIFESTS"

// container is a container that runs genrec, in Kubernetes or Compose.
type container struct {
	Args        []string     `json:"args"`        // Kubernetes
	Command     []string     `json:"command"`     // Compose
	Env         []namedValue `json:"env"`         // Kubernetes
	Environment environment  `json:"environment"` // Compose
}

func (c container) line() []string { return slices.Concat(c.Args, c.Command) }

// environment is an object, or a list of NAME=VALUE.
type environment []namedValue

func (e *environment) UnmarshalJSON(text []byte) error {
	var list []string
	if json.Unmarshal(text, &list) == nil {
		for _, entry := range list {
			name, value, _ := strings.Cut(entry, "=")
			*e = append(*e, namedValue{name, value})
		}
		return nil
	}
	var object map[string]string
	err := json.Unmarshal(text, &object)
	for name, value := range object {
		*e = append(*e, namedValue{name, value})
	}
	return err
}

type namedValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// genrec accepts the command line and the environment variables of every container.
func TestManifests(t *testing.T) {
	folder := os.Getenv(manifestsVariable)
	if folder == "" {
		t.Skip("make check-deploy renders the manifests and sets " + manifestsVariable)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in %s (%v)", folder, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var manifest any
			if err := json.Unmarshal(text, &manifest); err != nil {
				t.Fatal(err)
			}
			found := find[container](t, manifest, runsGenrec)
			if len(found) < 3 {
				t.Errorf("%d containers run genrec, want ingest, infer and retrain at least", len(found))
			}
			for _, s := range find[scaling](t, manifest, scales) {
				if !scalings()[s] {
					t.Errorf("a service is scaled by the lag of %+v, which none reads", s)
				}
			}
			for _, c := range found {
				t.Run(strings.Join(c.line(), " "), func(t *testing.T) { checkContainer(t, c) })
			}
		})
	}
}

// scaling is the consumer group and the topic whose lag KEDA scales a service by.
type scaling struct {
	Group string `json:"consumerGroup"`
	Topic string `json:"topic"`
}

// scalings are the consumer groups and topics of the services.
func scalings() map[scaling]bool {
	known := make(map[scaling]bool)
	for _, access := range []stream.Permissions{ingest.Config{}.Permissions(), inference.Config{}.Permissions()} {
		known[scaling{access.Group, access.Reads}] = true
	}
	return known
}

// find decodes all objects of a manifest, at any depth, that match.
func find[T any](t *testing.T, node any, meant func(map[string]any) bool) (found []T) {
	t.Helper()
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			found = append(found, find[T](t, child, meant)...)
		}
	case map[string]any:
		if meant(node) {
			found = append(found, decode[T](t, node))
		}
		for key, child := range node {
			if !strings.HasPrefix(key, "x-") { // what Compose files take parts from
				found = append(found, find[T](t, child, meant)...)
			}
		}
	}
	return found
}

var genrecImage = regexp.MustCompile(`(^|/)genrec(:|$)`)

func runsGenrec(node map[string]any) bool {
	image, _ := node["image"].(string)
	return genrecImage.MatchString(image)
}

func scales(node map[string]any) bool { return node["consumerGroup"] != nil }

func decode[T any](t *testing.T, node map[string]any) (decoded T) {
	t.Helper()
	text, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

// checkContainer parses the command line and the environment variables of a container, without
// running the command.
func checkContainer(t *testing.T, c container) {
	known := knownNames()
	for _, e := range slices.Concat(c.Env, c.Environment) {
		if strings.HasPrefix(e.Name, "GENREC_") && !known[e.Name] {
			t.Errorf("%s is no variable of genrec", e.Name)
		}
		if e.Value != "" {
			t.Setenv(e.Name, e.Value)
		}
	}
	checkCommandLine(t, c.line())
}

// checkCommandLine parses a command line without running the command.
func checkCommandLine(t *testing.T, line []string) {
	t.Helper()
	app, ran := newApp(), ""
	stubActions(app.Commands, &ran)
	if err := app.Run(t.Context(), append([]string{"genrec"}, line...)); err != nil {
		t.Errorf("genrec does not take %q: %v", strings.Join(line, " "), err)
	} else if ran == "" {
		t.Errorf("genrec %s prints its help alone", strings.Join(line, " "))
	}
}

// stubActions makes commands do nothing but record their names.
func stubActions(commands []*cli.Command, ran *string) {
	for _, command := range commands {
		if len(command.Commands) > 0 {
			stubActions(command.Commands, ran)
			continue
		}
		command.Action = func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return fmt.Errorf("%q is an unexpected argument", cmd.Args().First())
			}
			*ran = cmd.Name
			return nil
		}
	}
}

// The environment variables of the images belong to genrec.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../deploy/docker/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, runtime, found := strings.Cut(string(text), " AS runtime\n")
	if !found {
		t.Fatal("deploy/docker/Dockerfile has no stage runtime")
	}
	known := knownNames()
	for _, name := range regexp.MustCompile(`GENREC_[A-Z_]+`).FindAllString(runtime, -1) {
		if !known[name] {
			t.Errorf("deploy/docker/Dockerfile sets %s, which genrec does not have", name)
		}
	}
}

// The commands in docs/DEPLOY.md name existing files, and commands that genrec accepts.
func TestDeployCommands(t *testing.T) {
	text, err := os.ReadFile("../../docs/DEPLOY.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			commands++
			for _, path := range regexp.MustCompile(`deploy/\S+`).FindAllString(line, -1) {
				if _, err := os.Stat("../../" + path); err != nil {
					t.Errorf("%q: %v", line, err)
				}
			}
			if _, run, found := strings.Cut(line, " run --rm "); found {
				checkCommandLine(t, strings.Fields(run)[1:]) // behind the service
			}
		}
	}
	if commands == 0 {
		t.Error("docs/DEPLOY.md shows no commands")
	}
}
