package backfill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetRows is Parquet with columns of the same names as CSV. A timestamp is a text, a
// number of milliseconds, or of the type TIMESTAMP.
type parquetRows struct {
	groups  []parquet.RowGroup
	current parquet.Rows
	columns []column // by index of the leaf
	buffer  []parquet.Row
	rows    []parquet.Row // of the buffer, not yet returned
	number  int64
}

// column is a leaf of the schema, nameless if it is left out.
type column struct {
	name string
	unit time.Duration // of a TIMESTAMP
}

func newParquet(in io.ReaderAt, size int64) (p *parquetRows, err error) {
	defer recovered(&err)
	if err := checkFooter(in, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(in, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, err
	}
	p = &parquetRows{groups: f.RowGroups(), buffer: make([]parquet.Row, 64)}
	var names []string
	for _, path := range f.Schema().Columns() {
		leaf, _ := f.Schema().Lookup(path...)
		c := column{}
		if len(path) == 1 && !leaf.Node.Repeated() {
			c.name = path[0]
			if logical := leaf.Node.Type().LogicalType(); logical != nil {
				if timestamp, ok := logical.Value.(*format.TimestampType); ok && timestamp.Unit.Value != nil {
					c.unit = timestamp.Unit.Value.Duration()
				}
			}
		}
		names = append(names, c.name)
		p.columns = append(p.columns, c)
	}
	wanted, err := columnsOf(names)
	if err != nil {
		return nil, err
	}
	for i, name := range wanted {
		p.columns[i].name = name
	}
	return p, nil
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
	value := newObject()
	size := 0
	for _, v := range values {
		c := p.columns[v.Column()]
		if c.name == "" || v.IsNull() {
			continue
		}
		switch kind := v.Kind(); {
		case c.unit > 0 && kind == parquet.Int64:
			value.addRaw(c.name, strconv.FormatInt(millis(v.Int64(), c.unit), 10))
		case kind == parquet.ByteArray || kind == parquet.FixedLenByteArray:
			text := v.ByteArray()
			if size += len(text); size > maxRow {
				return row{number: p.number, err: errTooLong}
			}
			if len(text) > 0 {
				value.add(c.name, string(text))
			}
		case kind == parquet.Int32 || kind == parquet.Int64:
			value.add(c.name, strconv.FormatInt(integer(v), 10))
		default:
			return row{number: p.number, err: fmt.Errorf("column %q has the type %v, want a text or a number", c.name, kind)}
		}
	}
	return row{number: p.number, value: value.end()}
}

func integer(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func millis(n int64, unit time.Duration) int64 {
	return n / int64(time.Millisecond/unit)
}
