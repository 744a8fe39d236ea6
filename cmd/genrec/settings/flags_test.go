package settings

import (
	"reflect"
	"strings"
	"testing"
)

// Ids may contain commas, wherever they are set.
func TestLinesKeepCommas(t *testing.T) {
	want := []string{"a,b", "c"}
	for name, c := range map[string]struct{ variable, file, line string }{
		"flags":    {"x", "id: y", "--id a,b --id c"},
		"variable": {"a,b\nc\n", "id: y", ""},
		"list":     {"", "id: ['a,b', c]", ""},
		"text":     {"", "id: |\n  a,b\n  c\n", ""},
	} {
		t.Setenv("PROGRAM_ID", c.variable)
		values, _, err := run(t, append([]string{"run", "--config", write(t, c.file)}, strings.Fields(c.line)...)...)
		if got := values["id"]; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("by %s, the ids are %q (error %v), want %q", name, got, err, want)
		}
	}
	t.Setenv("PROGRAM_ID", "")
	if _, _, err := run(t, "run", "--config", write(t, "id: [\"a\\nb\"]")); err == nil || !strings.Contains(err.Error(), "without line breaks") {
		t.Errorf("a line break in an id is reported as %v", err)
	}
}
