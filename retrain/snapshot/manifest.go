package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"genrec/pkg/history"
)

// SchemaVersion is the version of the format of manifest and files.
const SchemaVersion = 1

const manifestFile = "manifest.json"

// Manifest describes the contents of a snapshot.
type Manifest struct {
	// SchemaVersion is the version of the format. The following counts and times are of the events in Files.
	SchemaVersion int       `json:"schema_version"`
	Watermark     time.Time `json:"watermark"` // time after which events are in Later
	Users         int64     `json:"users"`
	Items         int64     `json:"items"`
	Events        int64     `json:"events"`
	Oldest        time.Time `json:"oldest"` // time of the oldest event
	Newest        time.Time `json:"newest"` // time of the newest event
	// Files contain the events up to the watermark; Later has later ones, for the next snapshot.
	Files []history.File `json:"files"`
	Later []history.File `json:"later,omitempty"`
}

// readManifest decodes a manifest and rejects inconsistent ones, because memory is allocated by its counts.
func readManifest(text []byte) (m Manifest, err error) {
	fields := json.NewDecoder(bytes.NewReader(text))
	fields.DisallowUnknownFields()
	if err := fields.Decode(&m); err != nil {
		return m, err
	}
	if m.SchemaVersion != SchemaVersion {
		return m, fmt.Errorf("schema version %d is not supported: this program reads %d", m.SchemaVersion, SchemaVersion)
	}
	for _, f := range slices.Concat(m.Files, m.Later) {
		if f.Name != filepath.Base(f.Name) || !filepath.IsLocal(f.Name) {
			return m, fmt.Errorf("%q is not the name of a file in its folder", f.Name)
		}
		if f.Events < 1 || f.Bytes < 1 {
			return m, fmt.Errorf("%s has %d events in %d bytes", f.Name, f.Events, f.Bytes)
		}
	}
	events := int64(0)
	for _, f := range m.Files {
		if events += f.Events; events < 0 {
			return m, errors.New("the sum of the files' events overflows")
		}
	}
	if events != m.Events {
		return m, fmt.Errorf("its files have %d events, not %d", events, m.Events)
	}
	if least := min(1, events); m.Users < least || m.Users > events || m.Items < least || m.Items > events {
		return m, fmt.Errorf("%d events cannot have %d users and %d items", events, m.Users, m.Items)
	}
	return m, nil
}
