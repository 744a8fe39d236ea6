package importer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"genrec/pkg/event"
)

// folder writes files, whose names may contain folders.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func csvOf(user string) string {
	return fmt.Sprintf("user_id,item_id,timestamp\n%s,apple,2026-03-01 12:00:00\n", user)
}

// A folder is imported as Spark writes it: without metadata files, and skipping empty files of every
// format.
func TestFolders(t *testing.T) {
	type row struct {
		User string `parquet:"user_id"`
		Item string `parquet:"item_id"`
		Time int64  `parquet:"timestamp"`
	}
	var full, none bytes.Buffer
	if err := parquet.Write(&full, []row{{"ann", "apple", noon.UnixMilli()}}); err != nil {
		t.Fatal(err)
	}
	if err := parquet.Write(&none, []row{}); err != nil {
		t.Fatal(err)
	}
	sparks, err := os.ReadFile("testdata/orders/part-00000.parquet")
	if err != nil {
		t.Fatal(err)
	}
	root := folder(t, map[string]string{
		"_SUCCESS": "", ".part-00000.crc": "crc", "_committed_1": "{}", "_delta_log/0.json": "{}", ".hidden/a.csv": "x",
		"part-00000.parquet": string(sparks), "part-00001.snappy.parquet": full.String(), "000000_0": full.String(), "part-00002.parquet": none.String(), "part-00003.parquet": "",
		"part-00004.csv": csvOf("bob"), "part-00005.csv": "", "part-00006.csv.gz": string(gzipped(t, "")), "part-00007.csv.zst": "", "part-00008.csv.gz": string(gzipped(t, csvOf("cid"))),
		"part-00009.json": "", "part-00010.json": `{"user_id": "dee", "item_id": "apple", "timestamp": "2026-03-01T12:00:00Z"}`,
	})
	if err := os.Symlink(filepath.Join(root, "part-00004.csv"), filepath.Join(root, "part-00011.csv")); err != nil {
		t.Fatal(err)
	}
	h := newHarness()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{root, link} {
		h.events = make(map[string][]event.Event)
		if got, want := h.run(t, path), (Result{Rows: 6, Appended: 4, Duplicates: 2, Users: 4}); got != want {
			t.Errorf("got %+v, want %+v; rejected %+v", got, want, h.rejected)
		}
	}
	// The same parts by name.
	parts, err := filepath.Glob(filepath.Join(root, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.run(t, parts...), (Result{Rows: 5, Duplicates: 5, Users: 4}); got != want {
		t.Errorf("by name: got %+v, want %+v", got, want)
	}
}

// Partition columns, as Spark's partitionBy and Hive write them, count like others.
func TestPartitionColumns(t *testing.T) {
	const line = `{"item_id": "apple", "timestamp": "2026-03-01T12:00:00Z"}`
	root := folder(t, map[string]string{
		"type=click/who=ann/a.csv":                          "item_id,timestamp\napple,2026-03-01 12:00:00\n",
		"type=purchase/who=b%20b/a.json":                    line,
		"type=__HIVE_DEFAULT_PARTITION__/who=cid/part.json": line,
		"day=2026-03-01/x.csv":                              "who,item_id,timestamp,day\ndee,apple,2026-03-01 12:00:00,7\n",
	})
	h := newHarness()
	h.Mapping.Columns = Columns{"who": "user_id"}
	if got := h.run(t, root); got.Appended != 4 {
		t.Fatalf("got %+v, rejected %+v", got, h.rejected)
	}
	for user, kind := range map[string]string{"ann": "click", "b b": "purchase", "cid": "view", "dee": "view"} {
		if events := h.events[user]; len(events) != 1 || events[0].Type != kind || events[0].Item != "apple" {
			t.Errorf("the events of %s are %+v, want one of the type %s", user, events, kind)
		}
	}
}

func TestFolderErrors(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"has no files, apart from those": {"_SUCCESS": ""},
		"README: is none of":             {"README": "about", "a.csv": csvOf("ann")},
	} {
		h := newHarness()
		root := folder(t, files)
		if _, err := Run(t.Context(), h.Config, h, []string{root}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), root) {
			t.Errorf("error %v, want one with the folder and %q", err, want)
		}
	}
	h := newHarness()
	if _, err := Run(t.Context(), h.Config, h, []string{write(t, "a.csv", []byte(csvOf("ann"))), "/no/such.csv"}); err == nil || len(h.events) > 0 {
		t.Errorf("with a missing file: error %v after %v was imported, want nothing imported", err, h.events)
	}
}
