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

// parquetReader reads Parquet files with the same columns as CSV. Columns inside of groups can be
// mapped by their path.
type parquetReader struct {
	options fileOptions
	groups  []parquet.RowGroup // still to read
	current parquet.Rows       // of the row group that is being read; nil: none
	fields  []string           // by index of the leaf column, then of the partition column; "": ignored
	convert []converter        // of the leaf columns with fields
	buffer  []parquet.Row
	rows    []parquet.Row // of the buffer, not yet returned
	number  int64         // of the latest row
}

func newParquetReader(in io.ReaderAt, size int64, o fileOptions) (p *parquetReader, err error) {
	defer recoverBroken(&err)
	if err := checkFooter(in, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(in, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, err
	}
	p = &parquetReader{options: o, groups: f.RowGroups(), buffer: make([]parquet.Row, 64)}
	paths := f.Schema().Columns()
	names, lists := make([]string, len(paths)), make(map[string]bool)
	for i, path := range paths {
		leaf, _ := f.Schema().Lookup(path...)
		if name := strings.Join(path, "."); leaf.MaxRepetitionLevel > 0 {
			lists[name], lists[path[0]] = true, true
		} else if len(path) == 1 || o.Columns[name] != "" {
			names[i] = name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		field := o.Columns[name]
		if like := similarField(name); field == "" && slices.Contains(requiredFields, like) && !o.Columns.has(like) {
			field = like
		}
		if field != "" {
			return nil, fmt.Errorf("the column %q for %s is a list: write one row for each event, with explode in Spark or UNNEST in SQL", name, field)
		}
	}
	if p.fields, err = o.fieldsOfTable(names); err != nil {
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

// leafElements returns the schema elements of the leaf columns.
func leafElements(all []format.SchemaElement) (leaves []format.SchemaElement) {
	for _, element := range all {
		if element.Type.Valid {
			leaves = append(leaves, element)
		}
	}
	return leaves
}

// checkFooter rejects a footer length that is not plausible: the library would allocate as much
// memory.
func checkFooter(in io.ReaderAt, size int64) error {
	const (
		ending    = 8 // bytes of the footer length and the magic number
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
		return fmt.Errorf("not a Parquet file: its footer would have %d of %d bytes", footer, size)
	}
	return nil
}

// recoverBroken turns the library's panic about a broken file into an error.
func recoverBroken(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("broken Parquet: %v", r)
	}
}

func (p *parquetReader) next() (_ row, err error) {
	defer recoverBroken(&err)
	for len(p.rows) == 0 {
		if p.current == nil {
			if len(p.groups) == 0 {
				return row{}, io.EOF
			}
			group := p.groups[0]
			if p.groups = p.groups[1:]; group.NumRows() == 0 { // without pages
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

func (p *parquetReader) row(values parquet.Row) row {
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
	r.value, r.time = p.options.event(p.fields, record)
	return r
}
