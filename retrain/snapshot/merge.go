package snapshot

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// merge writes the rows of the base and of the shuffle files, user by user.
func (t *builder) merge(ctx context.Context, s *shuffleFiles) error {
	return t.mergeAll(ctx, s, 0, 0)
}

// mergeAll merges shuffle files of users whose hashes have the same so many bits at the beginning.
func (t *builder) mergeAll(ctx context.Context, s *shuffleFiles, beginning uint64, divided int) (err error) {
	defer func() { err = errors.Join(err, s.remove()) }()
	for i, one := range s.all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.mergeOne(ctx, one, beginning|uint64(i)<<s.shift, divided+t.limits.fanOut); err != nil {
			return err
		}
	}
	return nil
}

func (t *builder) mergeOne(ctx context.Context, s *shuffleFile, beginning uint64, divided int) error {
	var old int64 // rows that the base will add, about
	if t.base != nil {
		old = t.base.Events >> divided
	}
	if s.rows+old > t.limits.rows && divided < t.limits.deepest*t.limits.fanOut {
		parts, err := newShuffleFiles(t.dir, t.limits.fanOut, divided)
		if err != nil {
			return err
		}
		if err := errors.Join(s.read(parts.add), parts.flush()); err != nil {
			return errors.Join(err, parts.remove())
		}
		return t.mergeAll(ctx, parts, beginning, divided)
	}

	var rows []row
	if t.old != nil {
		var err error
		if rows, err = t.old.upTo(rows, beginning|(1<<(64-divided)-1)); err != nil {
			return err
		}
	}
	// Nobody divides the events of one user, but most of them will be too old.
	full := 2 * t.limits.rows
	err := s.read(func(r row) error {
		if rows = append(rows, r); int64(len(rows)) > full {
			rows = t.tidy(rows)
			full = max(full, 2*int64(len(rows)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.write(ctx, t.tidy(rows))
}

// tidy returns the rows, which are in the order of arrival, in the order of users and time;
// each event once, and of each user the newest, up to the watermark and after it.
func (t *builder) tidy(rows []row) []row {
	slices.SortStableFunc(rows, byUser)
	tidied := rows[:0]
	known := make(map[string]struct{})
	for user := range byUsers(rows) {
		clear(known)
		once := user[:0]
		for _, r := range user {
			if _, again := known[r.ID]; !again {
				known[r.ID] = struct{}{}
				once = append(once, r)
			}
		}
		slices.SortStableFunc(once, func(a, b row) int { return cmp.Compare(a.Time, b.Time) })
		now, later := t.divide(once)
		tidied = append(append(tidied, newest(now)...), newest(later)...)
	}
	clear(rows[len(tidied):])
	return tidied
}

func byUser(a, b row) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.User, b.User))
}

// byUsers yields the rows of each user in turn.
func byUsers(rows []row) func(yield func([]row) bool) {
	return func(yield func([]row) bool) {
		for len(rows) > 0 {
			n := 1
			for n < len(rows) && rows[n].User == rows[0].User {
				n++
			}
			user := rows[:n:n]
			rows = rows[n:]
			if !yield(user) {
				return
			}
		}
	}
}

// divide finds where a user's events pass the watermark.
func (t *builder) divide(user []row) (now, later []row) {
	at := after(user, t.Watermark)
	return user[:at], user[at:]
}

// after is where events are later than a time.
func after(user []row, at time.Time) int {
	found, _ := slices.BinarySearchFunc(user, at.UnixMilli()+1, func(r row, ms int64) int { return cmp.Compare(r.Time, ms) })
	return found
}

func newest(user []row) []row { return user[max(0, len(user)-MaxEvents):] }

// erasuresPage is how many users are asked for at a time.
const erasuresPage = 1000

// write puts tidy rows into the files, without those of forgotten users.
func (t *builder) write(ctx context.Context, rows []row) error {
	users := slices.Collect(byUsers(rows))
	for page := range slices.Chunk(users, erasuresPage) {
		erased, err := t.erasures(ctx, page)
		if err != nil {
			return err
		}
		for i, user := range page {
			if !erased[i].IsZero() {
				gone := after(user, erased[i])
				t.forgotten += int64(gone)
				user = user[gone:]
			}
			if err := t.writeUser(user); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *builder) erasures(ctx context.Context, page [][]row) ([]time.Time, error) {
	if t.Erasures == nil {
		return make([]time.Time, len(page)), nil
	}
	names := make([]string, len(page))
	for i, user := range page {
		names[i] = user[0].User
	}
	return t.Erasures.Erasures(ctx, names)
}

func (t *builder) writeUser(user []row) error {
	now, later := t.divide(user)
	t.count(now)
	return errors.Join(t.users.write(now), t.later.write(later))
}

func (t *builder) count(user []row) {
	if len(user) == 0 {
		return
	}
	m := &t.manifest
	oldest, last := time.UnixMilli(user[0].Time).UTC(), time.UnixMilli(user[len(user)-1].Time).UTC()
	if m.Users == 0 || oldest.Before(m.Oldest) {
		m.Oldest = oldest
	}
	if m.Users == 0 || last.After(m.Newest) {
		m.Newest = last
	}
	m.Users++
	m.Events += int64(len(user))
	for _, r := range user {
		if _, known := t.items[r.Item]; !known {
			t.items[strings.Clone(r.Item)] = struct{}{} // without the rest of the row
		}
	}
}
