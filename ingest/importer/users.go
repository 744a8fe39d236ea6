package importer

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// users remembers each user once: by a hash long enough to have no collisions in memory,
// some 40 bytes, and by name in a temporary file.
type users struct {
	n     int64
	seen  map[[16]byte]struct{}
	spool *os.File
	out   *bufio.Writer
	in    *bufio.Scanner
}

func newUsers() (*users, error) {
	spool, err := os.CreateTemp("", "genrec-import-*")
	if err != nil {
		return nil, fmt.Errorf("create a file for the users: %w", err)
	}
	return &users{seen: make(map[[16]byte]struct{}), spool: spool, out: bufio.NewWriter(spool)}, nil
}

func (u *users) add(user string) error {
	sum := sha256.Sum256([]byte(user))
	hash := [16]byte(sum[:16])
	if _, known := u.seen[hash]; known {
		return nil
	}
	u.seen[hash] = struct{}{}
	u.n++
	if _, err := u.out.WriteString(user + "\n"); err != nil { // no id has a control character
		return fmt.Errorf("note a user: %w", err)
	}
	return nil
}

// rewind goes from adding to reading.
func (u *users) rewind() error {
	err := u.out.Flush()
	if err == nil {
		_, err = u.spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("read the users again: %w", err)
	}
	u.seen = nil
	u.in = bufio.NewScanner(u.spool)
	return nil
}

// next returns the users one by one, and then io.EOF.
func (u *users) next() (string, error) {
	if u.in.Scan() {
		return u.in.Text(), nil
	}
	if err := u.in.Err(); err != nil {
		return "", fmt.Errorf("read the users again: %w", err)
	}
	return "", io.EOF
}

func (u *users) close() error { return errors.Join(u.spool.Close(), os.Remove(u.spool.Name())) }
