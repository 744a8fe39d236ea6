package snapshot

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"genrec/pkg/event"
)

// filesWith returns the files below a folder that contain a text: in their bytes, or in the
// pages of a Parquet file, which are compressed.
func filesWith(t *testing.T, folder, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(data, []byte(text)) || filepath.Ext(path) == ".parquet" && pagesContain(t, data, text) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func pagesContain(t *testing.T, file []byte, text string) bool {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range f.RowGroups() {
		for _, chunk := range group.ColumnChunks() {
			pages := chunk.Pages()
			for {
				page, err := pages.ReadPage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if dictionary := page.Dictionary(); dictionary != nil {
					for i := range dictionary.Len() {
						if strings.Contains(dictionary.Index(int32(i)).String(), text) {
							return true
						}
					}
				}
				values := make([]parquet.Value, page.NumValues())
				if _, err := page.Values().ReadValues(values); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				for _, value := range values {
					if strings.Contains(value.String(), text) {
						return true
					}
				}
			}
			pages.Close()
		}
	}
	return false
}

// TestErasure checks that no file of the history contains an erased user after the next snapshot.
func TestErasure(t *testing.T) {
	env := newEnvironment(t)
	const user, item, id = "mallory@example.org", "their-item", "their-event"
	theirs := func(n, ms int) event.Event {
		return event.Event{ID: id + string(rune('a'+n)), User: user, Item: item, Type: "view", Time: at(ms)}
	}
	random := rand.New(rand.NewPCG(1, 1))
	env.segment(append(randomEvents(random, 200), theirs(0, 10), theirs(1, 150))...) // one after the watermark
	env.build(at(100))
	env.segment(append(randomEvents(random, 200), theirs(2, 20))...)
	env.build(at(100))
	env.segment(append(randomEvents(random, 200), theirs(3, 30))...)
	for _, text := range []string{user, item, id} {
		if found := filesWith(t, env.history.Snapshots(), text); len(found) < 4 { // twice up to the watermark, twice after it
			t.Fatalf("%q is found in %v before the erasure: the test is not effective", text, found)
		}
	}

	env.erased[user] = at(160)
	env.build(at(100))
	root := filepath.Dir(env.history.Snapshots())
	for _, text := range []string{user, item, id} {
		if found := filesWith(t, root, text); len(found) > 0 {
			t.Errorf("%q is still in %v", text, found)
		}
	}

	// Messages from before the erasure are ignored when they are read again; later ones count.
	env.segment(theirs(1, 150), theirs(4, 161))
	s := env.build(at(200))
	if found := filesWith(t, root, id+"b"); len(found) > 0 {
		t.Errorf("an event from before the erasure came back: %v", found)
	}
	sequences, err := s.Sequences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range sequences {
		if sequence.User == user && len(sequence.Items) == 1 {
			return
		}
	}
	t.Error("the event after the erasure is missing")
}
