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

// checkErased returns an error if a snapshot, a model version or Redis contains the user. Segments of the
// history are not checked: the next snapshot leaves the user out.
func (env *environment) checkErased(ctx context.Context, user string) error {
	snapshots, another := filepath.Join(env.history, "snapshots"), env.shop.users[0]
	return errors.Join(
		erasedFrom(snapshots, user), erasedFrom(env.models, user), erasedFromRedis(ctx, env.rdb, user),
		check(erasedFrom(snapshots, another) != nil, "no snapshot contains %s, who was not forgotten: the check finds nothing", another),
		check(erasedFromRedis(ctx, env.rdb, another) != nil, "Redis does not contain %s, who was not forgotten: the check finds nothing", another))
}

// userPattern matches the user ID, but not longer ones that begin with it.
func userPattern(user string) *regexp.Regexp {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(user) + `\b`)
}

func erasedFrom(folder, user string) error {
	pattern, files := userPattern(user), 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found := pattern.Match(data)
		if !found && strings.HasSuffix(path, ".parquet") { // with compressed pages
			if found, err = hasRows(path, user); err != nil {
				return err
			}
		}
		return check(!found, "%s contains %s, who was forgotten", path, user)
	})
	return errors.Join(err, check(files > 0, "there are no files in %s to search for %s", folder, user))
}

// hasRows reports whether a Parquet file has rows of the user.
func hasRows(path, user string) (found bool, err error) {
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

func erasedFromRedis(ctx context.Context, rdb *redis.Client, user string) error {
	pattern, keys := userPattern(user), rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		value, err := rdb.Get(ctx, key).Result()
		if err != nil && !errors.Is(err, redis.Nil) && !strings.HasPrefix(err.Error(), "WRONGTYPE") { // not a string
			return fmt.Errorf("read %q: %w", key, err)
		}
		if err := check(!pattern.MatchString(key) && !pattern.MatchString(value), "key %q in Redis contains %s, who was forgotten", key, user); err != nil {
			return err
		}
	}
	return keys.Err()
}
