package importer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// lineBuffer is read at once, and seen of a first line that tells the format.
const lineBuffer = 64 << 10

// lines is JSON Lines: an event a line, empty lines between them.
type lines struct {
	in     *bufio.Reader
	number int64
}

func newLines(in io.Reader) *lines { return &lines{in: bufio.NewReaderSize(in, lineBuffer)} }

func (l *lines) next() (row, error) {
	for {
		l.number++
		line, tooLong, err := l.line()
		if err != nil && !errors.Is(err, io.EOF) {
			return row{}, fmt.Errorf("line %d: %w", l.number, err)
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case tooLong:
			return row{number: l.number, value: line, err: errTooLong}, nil
		case len(bytes.TrimSpace(line)) > 0:
			return row{number: l.number, value: line}, nil
		case err != nil:
			return row{}, io.EOF
		}
	}
}

var errTooLong = fmt.Errorf("more than %d bytes", maxRow)

// line returns the next line, or the beginning of one that is too long.
func (l *lines) line() (line []byte, tooLong bool, err error) {
	line, tooLong, err = l.read()
	return bytes.Clone(line), tooLong, err
}

// read is line, whose result is valid until the next call.
func (l *lines) read() (line []byte, tooLong bool, err error) {
	line, err = l.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, false, err
	}
	line = bytes.Clone(line)
	for {
		part, err := l.in.ReadSlice('\n')
		if room := maxRow - len(line); len(part) > room {
			part, tooLong = part[:room], true
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}
