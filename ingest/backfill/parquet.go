package backfill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// parquetRows is Parquet with columns as in CSV. A timestamp may be of the types TIMESTAMP,
// DATE and INT96, too.
type parquetRows struct {
	words   Words
	groups  []parquet.RowGroup
	current parquet.Rows
	fields  []string        // by index of the leaf; "" is left out
	units   []time.Duration // of the leaves that are times
	buffer  []parquet.Row
	rows    []parquet.Row // of the buffer, not yet returned
	number  int64
}

func newParquet(in io.ReaderAt, size int64, words Words) (p *parquetRows, err error) {
	defer recovered(&err)
	if err := checkFooter(in, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(in, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, err
	}
	p = &parquetRows{words: words, groups: f.RowGroups(), buffer: make([]parquet.Row, 64)}
	var leaves []string
	for _, path := range f.Schema().Columns() {
		leaf, _ := f.Schema().Lookup(path...)
		name := ""
		if len(path) == 1 && !leaf.Node.Repeated() {
			name = path[0]
		}
		leaves = append(leaves, name)
		p.units = append(p.units, unitOf(leaf.Node.Type()))
	}
	if p.fields, err = words.Columns.fieldsOfTable(leaves); err != nil {
		return nil, err
	}
	return p, nil
}

// unitOf is what a value of this type counts; 0 if it is no time.
func unitOf(kind parquet.Type) time.Duration {
	logical := kind.LogicalType()
	if logical == nil {
		return 0
	}
	switch of := logical.Value.(type) {
	case *format.TimestampType:
		if of.Unit.Value != nil {
			return of.Unit.Value.Duration()
		}
	case *format.DateType:
		return 24 * time.Hour
	}
	return 0
}

// checkFooter keeps a broken file from making the library take as much memory as it says
// that its description has.
func checkFooter(in io.ReaderAt, size int64) error {
	const (
		ending    = 8 // length of the description, and a magic number
		maxFooter = 64 << 20
	)
	var end [ending]byte
	if size < ending {
		return fmt.Errorf("not a Parquet file: it has %d bytes", size)
	}
	if _, err := in.ReadAt(end[:], size-ending); err != nil {
		return fmt.Errorf("read the end of the file: %w", err)
	}
	footer := int64(binary.LittleEndian.Uint32(end[:4]))
	if footer > min(maxFooter, size-ending) {
		return fmt.Errorf("not a Parquet file: its description would have %d of %d bytes", footer, size)
	}
	return nil
}

// recovered turns a panic about a broken file into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("broken Parquet: %v", r)
	}
}

func (p *parquetRows) next() (_ row, err error) {
	defer recovered(&err)
	for len(p.rows) == 0 {
		if p.current == nil {
			if len(p.groups) == 0 {
				return row{}, io.EOF
			}
			p.current, p.groups = p.groups[0].Rows(), p.groups[1:]
		}
		n, err := p.current.ReadRows(p.buffer)
		p.rows = p.buffer[:n]
		switch {
		case errors.Is(err, io.EOF):
			if err := p.current.Close(); err != nil {
				return row{}, err
			}
			p.current = nil
		case err != nil:
			return row{}, fmt.Errorf("after row %d: %w", p.number, err)
		case n == 0:
			return row{}, fmt.Errorf("after row %d: %w", p.number, io.ErrNoProgress)
		}
	}
	values := p.rows[0]
	p.rows = p.rows[1:]
	p.number++
	return p.row(values), nil
}

func (p *parquetRows) row(values parquet.Row) row {
	record := make([]string, len(p.fields))
	size := 0
	for _, v := range values {
		at := v.Column()
		if p.fields[at] == "" || v.IsNull() {
			continue
		}
		value, ok := text(v, p.units[at])
		if !ok {
			return row{number: p.number, err: fmt.Errorf("%s has the type %v, want a text, a whole number or a time", p.fields[at], v.Kind())}
		}
		if size += len(value); size > maxRow {
			return row{number: p.number, err: errTooLong}
		}
		record[at] = value
	}
	return row{number: p.number, value: p.words.event(p.fields, record)}
}

// text is a value as CSV has it.
func text(v parquet.Value, unit time.Duration) (text string, ok bool) {
	switch v.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return string(v.ByteArray()), true
	case parquet.Int32:
		return number(int64(v.Int32()), unit), true
	case parquet.Int64:
		return number(v.Int64(), unit), true
	case parquet.Int96:
		return number(spark(v.Int96()), time.Millisecond), true
	default:
		return "", false
	}
}

// number writes an integer, and milliseconds if it counts units of a time.
func number(n int64, unit time.Duration) string {
	switch {
	case unit >= time.Millisecond:
		n *= int64(unit / time.Millisecond)
	case unit > 0:
		n /= int64(time.Millisecond / unit)
	}
	return strconv.FormatInt(n, 10)
}

// spark is a time as Spark writes it, the nanoseconds of a day and the Julian day, in Unix ms.
func spark(at deprecated.Int96) int64 {
	const epoch = 2_440_588
	nanos := int64(at[1])<<32 | int64(at[0])
	return (int64(at[2])-epoch)*(24*time.Hour).Milliseconds() + nanos/int64(time.Millisecond)
}
