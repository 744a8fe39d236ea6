package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"genrec/model/catalog"
	"genrec/pkg/history"
)

// columns are those that a training needs.
type columns struct {
	User string `parquet:"user_id,dict,zstd"`
	Item string `parquet:"item_id,dict,zstd"`
	Time int64  `parquet:"timestamp,timestamp(millisecond),delta,zstd"`
}

// checkEvery is how many rows are read between two looks at the context.
const checkEvery = 1 << 16

// Sequences verifies the files and reads the items of all users. An event takes 16 bytes,
// a user 64 and the id, an item its id once.
func (s *Snapshot) Sequences(ctx context.Context) ([]catalog.Sequence, error) {
	l := loader{
		sequences: make([]catalog.Sequence, 0, s.Users), items: make([]string, 0, s.Events), known: make(map[string]string, s.Items),
	}
	for _, file := range s.Files {
		if err := s.load(ctx, &l, file); err != nil {
			return nil, fmt.Errorf("read the snapshot %s: %w", s.Dir, err)
		}
	}
	l.endUser()
	if users, items, events := len(l.sequences), len(l.known), len(l.items); int64(users) != s.Users || int64(items) != s.Items || int64(events) != s.Events {
		return nil, fmt.Errorf("read the snapshot %s: it has %d users, %d items and %d events, its manifest says %d, %d and %d",
			s.Dir, users, items, events, s.Users, s.Items, s.Events)
	}
	return l.sequences, nil
}

func (s *Snapshot) load(ctx context.Context, l *loader, file history.File) (err error) {
	path := filepath.Join(s.Dir, file.Name)
	if err := history.Verify(path, file.SHA256); err != nil {
		return err
	}
	rows, err := history.Open[columns](path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for n := 0; ; n++ {
		if n%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l.add(row)
	}
}

// loader gathers sequences whose items lie in one list behind each other.
type loader struct {
	sequences []catalog.Sequence
	items     []string
	begin     int               // of the last user's
	newest    int64             // time of the last one
	known     map[string]string // items, each once
}

func (l *loader) add(row columns) {
	if n := len(l.sequences); n == 0 || l.sequences[n-1].User != row.User {
		l.endUser()
		l.sequences = append(l.sequences, catalog.Sequence{User: strings.Clone(row.User)})
	}
	item, ok := l.known[row.Item]
	if !ok {
		item = strings.Clone(row.Item)
		l.known[item] = item
	}
	l.items = append(l.items, item)
	l.newest = row.Time
}

func (l *loader) endUser() {
	if n := len(l.sequences); n > 0 {
		last := &l.sequences[n-1]
		last.Items, last.Newest = l.items[l.begin:len(l.items):len(l.items)], time.UnixMilli(l.newest).UTC()
	}
	l.begin = len(l.items)
}
