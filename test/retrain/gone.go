package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/history"
)

// gone says where the user is named after a night: in a snapshot, a version, or Redis. Segments
// of the history are those since the snapshot, and the next night's.
func (w *world) gone(ctx context.Context, user string) error {
	snapshots, another := filepath.Join(w.history, "snapshots"), w.shop.users[0]
	return errors.Join(
		goneFrom(snapshots, user), goneFrom(w.models, user), goneFromRedis(ctx, w.rdb, user),
		check(goneFrom(snapshots, another) != nil, "no snapshot names %s, who is a customer: the search is blind", another),
		check(goneFromRedis(ctx, w.rdb, another) != nil, "nothing in Redis names %s, who is a customer: the search is blind", another))
}

// naming matches the user's name, but not longer ones that begin with it.
func naming(user string) *regexp.Regexp {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(user) + `\b`)
}

func goneFrom(folder, user string) error {
	named, files := naming(user), 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found := named.Match(data)
		if !found && strings.HasSuffix(path, ".parquet") { // whose pages are compressed
			if found, err = rowsOf(path, user); err != nil {
				return err
			}
		}
		return check(!found, "%s names %s, who was forgotten", path, user)
	})
	return errors.Join(err, check(files > 0, "there are no files in %s to look for %s in", folder, user))
}

// rowsOf says whether a file has rows of the user.
func rowsOf(path, user string) (found bool, err error) {
	rows, err := history.Open[history.Row](path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return false, err
		}
		found = found || row.User == user
	}
}

func goneFromRedis(ctx context.Context, rdb *redis.Client, user string) error {
	named, keys := naming(user), rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		value, err := rdb.Get(ctx, key).Result()
		if err != nil && !errors.Is(err, redis.Nil) && !strings.HasPrefix(err.Error(), "WRONGTYPE") { // no text
			return fmt.Errorf("read %q: %w", key, err)
		}
		if err := check(!named.MatchString(key) && !named.MatchString(value), "%q names %s in Redis, who was forgotten", key, user); err != nil {
			return err
		}
	}
	return keys.Err()
}
