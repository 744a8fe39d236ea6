package catalog

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"text": "padded", "items": ["a", "b"], "counts": [1, 2], "users": ["u"]}`))
	f.Add([]byte(`{"text": "codes", "items": ["a", "b"], "counts": [1, 2], "users": [], "codes": [[0, 0], [0, 1]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "catalog.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			return
		}
		if err := c.Save(path); err != nil {
			t.Fatalf("save what was loaded: %v", err)
		}
		if _, err := Load(path); err != nil {
			t.Fatalf("load what was saved: %v", err)
		}
	})
}
