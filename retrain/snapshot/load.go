package snapshot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"genrec/model/catalog"
)

// columns are the columns that a training reads.
type columns struct {
	User string `parquet:"user_id,dict,zstd"`
	Item string `parquet:"item_id,dict,zstd"`
	Time int64  `parquet:"timestamp,timestamp(millisecond),delta,zstd"`
}

// Sequences verifies the files and reads the items of all users. It allocates 16 bytes per event, 64 bytes
// and the id per user, and the id per item.
func (s *Snapshot) Sequences(ctx context.Context) ([]catalog.Sequence, error) {
	l := loader{
		sequences: make([]catalog.Sequence, 0, s.Users), items: make([]string, 0, s.Events), ids: make(map[string]string, s.Items),
	}
	for _, file := range s.Files {
		rows, err := openFile[columns](s.Dir, file)
		if err == nil {
			err = forEachRow(ctx, rows, l.add)
		}
		if err != nil {
			return nil, fmt.Errorf("read the snapshot %s: %w", s.Dir, err)
		}
	}
	l.endUser()
	if users, items, events := len(l.sequences), len(l.ids), len(l.items); int64(users) != s.Users || int64(items) != s.Items || int64(events) != s.Events {
		return nil, fmt.Errorf("read the snapshot %s: its files have %d users, %d items and %d events, but its manifest %d, %d and %d",
			s.Dir, users, items, events, s.Users, s.Items, s.Events)
	}
	return l.sequences, nil
}

// loader builds sequences whose items are consecutive parts of one slice.
type loader struct {
	sequences []catalog.Sequence
	items     []string          // of all users
	begin     int               // index of the current user's first item
	newest    int64             // time of the newest row, in ms since 1970
	ids       map[string]string // one copy of each item id
}

func (l *loader) add(row columns) error {
	if n := len(l.sequences); n == 0 || l.sequences[n-1].User != row.User {
		l.endUser()
		l.sequences = append(l.sequences, catalog.Sequence{User: strings.Clone(row.User)})
	}
	item, ok := l.ids[row.Item]
	if !ok {
		item = strings.Clone(row.Item)
		l.ids[item] = item
	}
	l.items = append(l.items, item)
	l.newest = row.Time
	return nil
}

func (l *loader) endUser() {
	if n := len(l.sequences); n > 0 {
		last := &l.sequences[n-1]
		last.Items, last.Newest = l.items[l.begin:len(l.items):len(l.items)], time.UnixMilli(l.newest).UTC()
	}
	l.begin = len(l.items)
}
