package importer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// Format is the format of files.
type Format string

// The formats. Auto detects them by the file's name and its first line.
const (
	Auto      Format = "auto"
	Events    Format = "events"    // interaction events
	RecBole   Format = "recbole"   // atomic files: .inter
	MovieLens Format = "movielens" // u.data, ratings.dat, ratings.csv
	Amazon    Format = "amazon"    // reviews of 2014, 2018 and 2023, and files of their ratings
)

var formats = []Format{Auto, Events, RecBole, MovieLens, Amazon}

// ParseFormat parses the name of a format.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(formats, f) {
		return f, nil
	}
	return "", fmt.Errorf("%q is none of %v", name, formats)
}

// formatOfName returns the format that follows from a file's name, without the extension of a
// compression, or Auto.
func formatOfName(name string, first []byte) Format {
	switch ext := filepath.Ext(name); {
	case ext == ".inter":
		return RecBole
	case ext == ".dat" && isRating(first), name == "u.data":
		return MovieLens
	default:
		return Auto
	}
}

// isRating reports whether a line is one of MovieLens, rather than of another .dat file.
func isRating(line []byte) bool {
	if bytes.Contains(line, []byte("::")) {
		return true
	}
	fields := bytes.Split(bytes.TrimSpace(line), []byte("\t"))
	return len(fields) == ratingOrder.of && isNumber(string(fields[ratingOrder.time]))
}

// utf8BOM is the byte order mark that spreadsheets write.
const utf8BOM = "\ufeff"

// newTextReader returns the reader of a text file with a name.
func newTextReader(in io.Reader, name string, o fileOptions) (rowReader, error) {
	buffered := bufio.NewReaderSize(in, lineBuffer)
	if bom, _ := buffered.Peek(len(utf8BOM)); string(bom) == utf8BOM {
		_, _ = buffered.Discard(len(utf8BOM)) // cannot fail after Peek
	}
	first := firstLine(buffered)
	if o.format == Auto {
		o.format = formatOfName(name, first)
	}
	if o.format == Auto && o.given() {
		o.format = Events
	}
	isJSON := bytes.HasPrefix(bytes.TrimSpace(first), []byte("{"))
	switch ext, format := filepath.Ext(name), o.format; {
	case bytes.HasPrefix(first, []byte("\xff\xfe")) || bytes.HasPrefix(first, []byte("\xfe\xff")):
		return nil, errors.New("is UTF-16: save it as UTF-8")
	case bytes.IndexByte(first, 0) >= 0:
		return nil, errors.New("has NUL bytes in its first line, as UTF-16 without a byte order mark has: save it as UTF-8")
	case endsInCR(first):
		return nil, errors.New("has lines that end in a carriage return only (classic Mac OS): save it as plain CSV or text")
	case format == RecBole && !o.NoHeader:
		return newRecBoleReader(buffered, o)
	case o.given() && format != Events:
		return nil, fmt.Errorf("--format %s defines columns and types itself, so that it cannot be combined with --column, --event-type and --no-header", format)
	case format == MovieLens && bytes.Contains(first, []byte("::")):
		return newDelimitedReader(buffered, "::", ratingOrder, o), nil
	case format == MovieLens && bytes.Contains(first, []byte("\t")):
		return newDelimitedReader(buffered, "\t", ratingOrder, o), nil
	case format == Amazon && isJSON:
		return reviewReader{newLineReader(buffered), o}, nil
	case format == Amazon || format == MovieLens || ext == ".csv" || ext == ".tsv":
		return newCSVReader(buffered, o)
	case ext == ".jsonl" || ext == ".ndjson" || ext == ".json" || format == Events && isJSON:
		return newJSONReader(buffered, first, o)
	case ext == ".dat" || format == Events:
		return newCSVReader(buffered, o)
	default:
		return nil, errors.New("is none of .csv, .tsv, .jsonl, .ndjson, .json, .inter, .dat, u.data and .parquet, all but the last also with .gz or .zst; for other names, choose a --format")
	}
}

// endsInCR reports whether the first line contains carriage returns before its end.
func endsInCR(first []byte) bool {
	return bytes.IndexByte(bytes.TrimSuffix(first, []byte("\r")), '\r') >= 0
}

// firstLine peeks at the beginning of the first line. Reading it will return the same errors.
func firstLine(in *bufio.Reader) []byte {
	beginning, _ := in.Peek(lineBuffer)
	line, _, _ := bytes.Cut(beginning, []byte("\n"))
	return line
}
