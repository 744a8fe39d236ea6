// Package snapshot builds and reads training datasets: the events of all users up to a
// watermark, merged from the history and from the user sequences in Redis.
//
//	FOLDER/000001/manifest.json             counts and sources
//	FOLDER/000001/users-00000.parquet ...   the events, grouped by user
//	FOLDER/000001/later-00000.parquet ...   events after the watermark, kept for the next snapshot
//
// A snapshot is immutable and appears once it is complete. Users are ordered by a hash of their
// ids, and the events of a user as in Redis: by time, ties by arrival. The same events give the
// same bytes.
//
// The builder sorts any number of events in bounded memory: it first partitions the new events
// by a prefix of the user hash into shuffle files, then reads one shuffle file after the other,
// in hash order, and merges it with the previous snapshot. A shuffle file that is too large for
// memory is partitioned again by the next bits of the hash.
package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// MaxEvents is the maximum number of events per user; the newest are kept.
const MaxEvents = 1024

// Snapshot is a complete snapshot.
type Snapshot struct {
	Manifest
	Dir  string // folder
	Hash string // SHA-256 of the manifest, which has the hashes of all files
	// Skipped is the number of users with an unreadable sequence in Redis, of whom the snapshot has at
	// most older events. It is not stored: only Build sets it.
	Skipped int64
}

// ErrNone reports that there is no snapshot.
var ErrNone = errors.New("no snapshot")

// Open reads the manifest of a snapshot. The files are verified when they are read.
func Open(dir string) (*Snapshot, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", dir, ErrNone)
	}
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	m, err := readManifest(text)
	if err != nil {
		return nil, fmt.Errorf("read the manifest of the snapshot %s: %w", dir, err)
	}
	sum := sha256.Sum256(text)
	return &Snapshot{Manifest: m, Dir: dir, Hash: hex.EncodeToString(sum[:])}, nil
}

// Newest opens the newest snapshot in a folder, or returns ErrNone.
func Newest(folder string) (*Snapshot, error) {
	numbers, err := list(folder)
	if err != nil {
		return nil, err
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("open the newest snapshot in %s: %w", folder, ErrNone)
	}
	return Open(dirOf(folder, numbers[len(numbers)-1]))
}

var snapshotName = regexp.MustCompile(`^[0-9]{6,9}$`)

func dirOf(folder string, number int) string {
	return filepath.Join(folder, fmt.Sprintf("%06d", number))
}

// list returns the numbers of the snapshots in a folder, oldest first.
func list(folder string) (numbers []int, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	for _, entry := range entries {
		if snapshotName.MatchString(entry.Name()) {
			number, err := strconv.Atoi(entry.Name())
			if err != nil {
				return nil, fmt.Errorf("list the snapshots: %w", err)
			}
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
