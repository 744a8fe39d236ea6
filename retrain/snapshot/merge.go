package snapshot

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// hashBits is the length of a user hash.
const hashBits = 64

// merge merges shuffle files with the previous snapshot and writes the new one, in order of user hashes.
// The first prefixBits bits of all hashes are those of prefix.
func (b *builder) merge(ctx context.Context, s *shuffleFiles, prefix uint64, prefixBits int) (err error) {
	defer func() { err = errors.Join(err, s.remove()) }()
	for i, file := range s.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.mergeFile(ctx, file, prefix|uint64(i)<<s.shift, prefixBits+b.limits.fanOut); err != nil {
			return err
		}
	}
	return nil
}

// mergeFile merges one shuffle file. It partitions a file that is too large for memory again.
func (b *builder) mergeFile(ctx context.Context, file *shuffleFile, prefix uint64, prefixBits int) error {
	var previousRows int64 // estimated number of rows with this prefix in the previous snapshot
	if b.previous != nil {
		previousRows = b.previous.Events >> prefixBits
	}
	if file.rows+previousRows > b.limits.rows && prefixBits < b.limits.passes*b.limits.fanOut {
		parts, err := newShuffleFiles(b.dir, b.limits.fanOut, prefixBits)
		if err != nil {
			return err
		}
		if err := errors.Join(file.read(parts.add), parts.close()); err != nil {
			return errors.Join(err, parts.remove())
		}
		return b.merge(ctx, parts, prefix, prefixBits)
	}

	var rows []row
	if b.previousRows != nil {
		var err error
		if rows, err = b.previousRows.readThrough(rows, prefix|(1<<(hashBits-prefixBits)-1)); err != nil {
			return err
		}
	}
	// The events of a single user cannot be partitioned, but normalizing drops all but the newest.
	threshold := 2 * b.limits.rows
	err := file.read(func(r row) error {
		if rows = append(rows, r); int64(len(rows)) > threshold {
			rows = b.normalize(rows)
			threshold = max(threshold, 2*int64(len(rows)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.write(ctx, b.normalize(rows))
}

// normalize sorts rows, which are in order of arrival, by user and time, removes duplicate events, and
// keeps the newest of each user, up to the watermark and after it.
func (b *builder) normalize(rows []row) []row {
	slices.SortStableFunc(rows, byUser)
	normalized := rows[:0]
	seen := make(map[string]struct{})
	for user := range groupByUser(rows) {
		clear(seen)
		unique := user[:0]
		for _, r := range user {
			if _, duplicate := seen[r.ID]; !duplicate {
				seen[r.ID] = struct{}{}
				unique = append(unique, r)
			}
		}
		slices.SortStableFunc(unique, func(a, b row) int { return cmp.Compare(a.Time, b.Time) })
		now, later := b.splitAtWatermark(unique)
		normalized = append(append(normalized, newest(now)...), newest(later)...)
	}
	clear(rows[len(normalized):])
	return normalized
}

func byUser(a, b row) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.User, b.User))
}

// groupByUser yields the rows of each user.
func groupByUser(rows []row) func(yield func([]row) bool) {
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

// splitAtWatermark splits a user's sorted rows into those up to the watermark and those after it.
func (b *builder) splitAtWatermark(user []row) (now, later []row) {
	i := firstAfter(user, b.Watermark)
	return user[:i], user[i:]
}

// firstAfter returns the index of the first row after a time, or len(user).
func firstAfter(user []row, t time.Time) int {
	i, _ := slices.BinarySearchFunc(user, t.UnixMilli()+1, func(r row, ms int64) int { return cmp.Compare(r.Time, ms) })
	return i
}

func newest(user []row) []row { return user[max(0, len(user)-MaxEvents):] }

// erasuresPage is the number of users per request for erasures.
const erasuresPage = 1000

// write writes normalized rows, without those from before their user's erasure.
func (b *builder) write(ctx context.Context, rows []row) error {
	users := slices.Collect(groupByUser(rows))
	for page := range slices.Chunk(users, erasuresPage) {
		erased, err := b.erasures(ctx, page)
		if err != nil {
			return err
		}
		for i, user := range page {
			if !erased[i].IsZero() {
				n := firstAfter(user, erased[i])
				b.erased += int64(n)
				user = user[n:]
			}
			now, later := b.splitAtWatermark(user)
			b.count(now)
			if err := errors.Join(b.users.write(now), b.later.write(later)); err != nil {
				return err
			}
		}
	}
	return nil
}

// erasures returns the time of each user's erasure.
func (b *builder) erasures(ctx context.Context, page [][]row) ([]time.Time, error) {
	if b.Erasures == nil {
		return make([]time.Time, len(page)), nil
	}
	ids := make([]string, len(page))
	for i, user := range page {
		ids[i] = user[0].User
	}
	return b.Erasures.Erasures(ctx, ids)
}

// count adds a user's rows to the manifest.
func (b *builder) count(user []row) {
	if len(user) == 0 {
		return
	}
	m := &b.manifest
	oldest, newest := time.UnixMilli(user[0].Time).UTC(), time.UnixMilli(user[len(user)-1].Time).UTC()
	if m.Users == 0 || oldest.Before(m.Oldest) {
		m.Oldest = oldest
	}
	if m.Users == 0 || newest.After(m.Newest) {
		m.Newest = newest
	}
	m.Users++
	m.Events += int64(len(user))
	for _, r := range user {
		if _, ok := b.items[r.Item]; !ok {
			b.items[strings.Clone(r.Item)] = struct{}{} // a clone: the id shares its memory with the whole row
		}
	}
}
