package snapshot

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"genrec/pkg/history"
)

func manifest() Manifest {
	return Manifest{
		SchemaVersion: SchemaVersion, Watermark: epoch, Users: 2, Items: 3, Events: 7, Oldest: epoch, Newest: epoch,
		Files: []history.File{{Name: "users-00000.parquet", Bytes: 90, Events: 4, SHA256: "ab"}, {Name: "users-00001.parquet", Bytes: 70, Events: 3, SHA256: "cd"}},
		Later: []history.File{{Name: "later-00000.parquet", Bytes: 50, Events: 2, SHA256: "ef"}},
	}
}

func text(t testing.TB, m Manifest) []byte {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestInconsistentManifestsAreRejected(t *testing.T) {
	if _, err := readManifest(text(t, manifest())); err != nil {
		t.Fatal(err)
	}
	const huge = 1 << 62
	for want, damage := range map[string]func(*Manifest){
		"schema version 2":                        func(m *Manifest) { m.SchemaVersion = 2 },
		"not the name of a file":                  func(m *Manifest) { m.Files[0].Name = "../users-00000.parquet" },
		`".." is not the name`:                    func(m *Manifest) { m.Later[0].Name = ".." },
		`"" is not the name`:                      func(m *Manifest) { m.Later[0].Name = "" },
		"has -4 events":                           func(m *Manifest) { m.Files[0].Events = -4 },
		"in 0 bytes":                              func(m *Manifest) { m.Later[0].Bytes = 0 },
		"the files' events overflows":             func(m *Manifest) { m.Files[0].Events, m.Files[1].Events = huge, huge },
		"its files have 7 events, not 70":         func(m *Manifest) { m.Events = 70 },
		"7 events cannot have -2 users":           func(m *Manifest) { m.Users = -2 },
		"7 events cannot have 8 users":            func(m *Manifest) { m.Users = 8 },
		"7 events cannot have 2 users and 0 item": func(m *Manifest) { m.Items = 0 },
	} {
		m := manifest()
		m.Files, m.Later = slices.Clone(m.Files), slices.Clone(m.Later)
		damage(&m)
		if _, err := readManifest(text(t, m)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q in it", err, want)
		}
	}
}

// FuzzManifest checks that every accepted manifest is consistent and survives a round trip.
func FuzzManifest(f *testing.F) {
	f.Add(text(f, manifest()))
	f.Add([]byte(`{"schema_version":1,"users":0,"items":0,"events":0,"files":null}`))
	f.Add([]byte(`{"schema_version":1,"users":1e18}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readManifest(data)
		if err != nil {
			return
		}
		sum := int64(0)
		for _, file := range m.Files {
			sum += file.Events
		}
		if m.Users < 0 || m.Items < 0 || m.Users > m.Events || m.Items > m.Events || m.Events != sum {
			t.Errorf("%d users, %d items and %d events are accepted, but the files have %d", m.Users, m.Items, m.Events, sum)
		}
		again, err := readManifest(text(t, m))
		if err != nil || string(text(t, again)) != string(text(t, m)) {
			t.Errorf("written and read again, it is %+v (%v), not %+v", again, err, m)
		}
	})
}
