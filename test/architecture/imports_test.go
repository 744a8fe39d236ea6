// Package architecture checks rules that the compiler does not: which packages may import which, and that
// everything exported is documented.
package architecture

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers lists, for each folder, the folders of this module whose packages it may import. The longest folder that
// contains a package applies.
var layers = map[string][]string{
	"pkg":                {"pkg"},
	"model":              {"model", "pkg"},
	"sessions":           {"sessions", "pkg"},
	"ingest":             {"ingest", "sessions", "pkg"},
	"inference":          {"inference", "sessions", "pkg"},
	"inference/versions": {"inference", "model", "sessions", "pkg"},
	"serve":              {"serve", "sessions", "pkg"},
	"retrain":            {"retrain", "model", "sessions", "pkg"},
	"cmd/bench":          {"cmd/bench", "test/harness", "retrain", "inference", "ingest", "sessions", "model", "pkg"},
	"cmd":                {"cmd", "retrain", "serve", "inference", "ingest", "sessions", "model", "pkg"},
	"test":               {"test", "cmd", "retrain", "serve", "inference", "ingest", "sessions", "model", "pkg"},
}

// restricted lists the folders that may import a library, or the packages of this module that wrap it.
var restricted = map[string][]string{
	"github.com/sugarme/gotch":         {"model", "cmd/bench"},
	"genrec/model/libtorch":            {"model", "retrain", "cmd/bench"},
	"github.com/segmentio/kafka-go":    {"pkg", "ingest", "inference", "serve", "cmd", "test"},
	"github.com/redis/go-redis/v9":     {"pkg", "sessions", "serve", "cmd", "test"},
	"github.com/twmb/franz-go":         {"pkg/stream", "pkg/embedded", "cmd/bench"},
	"github.com/urfave/cli/v3":         {"cmd", "test"},
	"github.com/aws/aws-sdk-go-v2":     {"pkg/bucket"},
	"github.com/parquet-go/parquet-go": {"pkg/history", "ingest/importer", "retrain/snapshot", "sessions/export"},
}

// linked lists the packages that link libtorch, and with "/..." those whose subpackages may. All others build without it.
var linked = []string{
	"model", "model/dist", "model/tensor", "model/libtorch", "inference/versions", "retrain", "retrain/compare", "cmd/genrec/...", "cmd/bench/...",
}

// within reports whether a package is the folder or below it.
func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func withinAny(pkg string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return within(pkg, folder) })
}

// packages returns a list of go list for each package of this module, by its path in the module.
func packages(t *testing.T, list string) map[string][]string {
	command := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join `+list+` " "}}`, "./...")
	command.Dir = "../.."
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		found[strings.TrimPrefix(words[0], "genrec/")] = words[1:]
	}
	if len(found) < 20 {
		t.Fatalf("go list found %d packages", len(found))
	}
	return found
}

func TestImports(t *testing.T) {
	for pkg, imports := range packages(t, ".Imports") {
		layer := ""
		for folder := range layers {
			if within(pkg, folder) && len(folder) > len(layer) {
				layer = folder
			}
		}
		if layer == "" {
			t.Errorf("%s belongs to no layer: add its folder to layers and to ARCHITECTURE.md", pkg)
		}
		for _, imported := range imports {
			if own, is := strings.CutPrefix(imported, "genrec/"); is && !withinAny(own, layers[layer]) {
				t.Errorf("%s imports %s; %s may import %v", pkg, own, layer, layers[layer])
			}
			for library, allowed := range restricted {
				if within(imported, library) && !withinAny(pkg, allowed) {
					t.Errorf("%s imports %s, which only %v may", pkg, imported, allowed)
				}
			}
		}
	}
}

func TestLibtorchIsLinkedByFew(t *testing.T) {
	for pkg, dependencies := range packages(t, ".Deps") {
		allowed := slices.ContainsFunc(linked, func(name string) bool {
			folder, below := strings.CutSuffix(name, "/...")
			return pkg == folder || below && within(pkg, folder)
		})
		if slices.Contains(dependencies, "github.com/sugarme/gotch") && !allowed {
			t.Errorf("%s links libtorch, which only %v may", pkg, linked)
		}
	}
}
