package importer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"genrec/pkg/event"
)

// maxRow bounds a row in bytes: the size of the largest message that Kafka would accept.
const maxRow = 1 << 20

// row is a row of a file as a JSON event, or why it is malformed.
type row struct {
	number int64        // from 1: the line, or in Parquet the row
	within string       // position in the line, if the line has several rows
	more   bool         // the line has more rows
	value  []byte       // JSON event
	event  *event.Event // value, if it is already decoded
	time   string       // the time as written in the file, if value has another form of it
	err    error        // of this row alone
}

// rowReader reads a file row by row.
type rowReader interface {
	// next returns the next row, or io.EOF at the end. Any other error ends the file.
	next() (row, error)
}

var (
	// errEmpty is the error of an empty file, as Spark writes it for an empty partition.
	errEmpty    = errors.New("the file is empty")
	errNoHeader = fmt.Errorf("line 1: the column names are missing: %w", errEmpty)
)

// lineBuffer is the size of reads, and how much of the first line is examined to detect the
// format.
const lineBuffer = 64 << 10

// lineReader reads lines of at most maxRow bytes.
type lineReader struct {
	in     *bufio.Reader
	number int64 // of the latest line, from 1
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, lineBuffer)}
}

// next returns the next line that is not blank.
func (l *lineReader) next() (row, error) {
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
func (l *lineReader) line() (line []byte, tooLong bool, err error) {
	line, tooLong, err = l.read()
	return bytes.Clone(line), tooLong, err
}

// read is like line, but its result is only valid until the next call.
func (l *lineReader) read() (line []byte, tooLong bool, err error) {
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
