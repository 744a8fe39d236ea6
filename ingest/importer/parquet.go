package importer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetRows is Parquet with columns as in CSV. Those inside of groups are
// called by their path, with --column.
type parquetRows struct {
	reading reading
	groups  []parquet.RowGroup
	current parquet.Rows
	fields  []string    // by index of the leaf, then of the partitions; "" is left out
	convert []converter // of the leaves that are fields
	buffer  []parquet.Row
	rows    []parquet.Row // of the buffer, not yet returned
	number  int64
}

func newParquet(in io.ReaderAt, size int64, r reading) (p *parquetRows, err error) {
	defer recovered(&err)
	if err := checkFooter(in, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(in, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, err
	}
	p = &parquetRows{reading: r, groups: f.RowGroups(), buffer: make([]parquet.Row, 64)}
	paths := f.Schema().Columns()
	names, lists := make([]string, len(paths)), make(map[string]bool)
	for i, path := range paths {
		leaf, _ := f.Schema().Lookup(path...)
		if name := strings.Join(path, "."); leaf.MaxRepetitionLevel > 0 {
			lists[name], lists[path[0]] = true, true
		} else if len(path) == 1 || r.Columns[name] != "" {
			names[i] = name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		field := r.Columns[name]
		if like := fieldLike(name); field == "" && slices.Contains(required, like) && !r.Columns.has(like) {
			field = like
		}
		if field != "" {
			return nil, fmt.Errorf("the column %q for %s is a list: an event has one row of its own, as explode in Spark and UNNEST in SQL make them", name, field)
		}
	}
	if p.fields, err = r.fieldsOfTable(names); err != nil {
		return nil, err
	}
	p.convert = make([]converter, len(paths))
	elements := leafElements(f.Metadata().Schema)
	for i, path := range paths {
		if p.fields[i] == "" {
			continue
		}
		leaf, _ := f.Schema().Lookup(path...)
		if p.convert[i], err = converterFor(p.fields[i], leaf.Node.Type(), elements[i]); err != nil {
			return nil, fmt.Errorf("the column %q for %s %w", names[i], p.fields[i], err)
		}
	}
	return p, nil
}

// leafElements are the descriptions of the columns that have values.
func leafElements(all []format.SchemaElement) (leaves []format.SchemaElement) {
	for _, element := range all {
		if element.Type.Valid {
			leaves = append(leaves, element)
		}
	}
	return leaves
}

// checkFooter keeps a broken file from making the library take as much memory as it says
// that its description has.
func checkFooter(in io.ReaderAt, size int64) error {
	const (
		ending    = 8 // length of the description, and a magic number
		maxFooter = 64 << 20
	)
	var end [ending]byte
	if size == 0 {
		return errEmpty
	}
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
			group := p.groups[0]
			if p.groups = p.groups[1:]; group.NumRows() == 0 { // has no pages to read
				continue
			}
			p.current = group.Rows()
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
	record := make([]string, len(p.convert))
	size := 0
	for _, v := range values {
		at := v.Column()
		if p.fields[at] == "" || v.IsNull() {
			continue
		}
		value, err := p.convert[at](v)
		if err != nil {
			return row{number: p.number, err: fmt.Errorf("%s %w", p.fields[at], err)}
		}
		if size += len(value); size > maxRow {
			return row{number: p.number, err: errTooLong}
		}
		record[at] = value
	}
	r := row{number: p.number}
	r.value, r.time = p.reading.event(p.fields, record)
	return r
}
