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

// Format is whose files are imported.
type Format string

// The formats. Auto tells them by the file's name and its first line.
const (
	Auto      Format = "auto"
	Events    Format = "events"    // interaction events
	RecBole   Format = "recbole"   // atomic files: .inter
	MovieLens Format = "movielens" // u.data, ratings.dat, ratings.csv
	Amazon    Format = "amazon"    // reviews of 2014, 2018 and 2023, and their ratings alone
)

var formats = []Format{Auto, Events, RecBole, MovieLens, Amazon}

// ParseFormat returns the format of a name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(formats, f) {
		return f, nil
	}
	return "", fmt.Errorf("%q is none of %v", name, formats)
}

// named is what a file's name, without that of a compression, says about its format.
func named(name string, first []byte) Format {
	switch ext := filepath.Ext(name); {
	case ext == ".inter":
		return RecBole
	case ext == ".dat" && isRating(first), name == "u.data":
		return MovieLens
	default:
		return Auto
	}
}

// isRating tells MovieLens' lines from those of other files called .dat.
func isRating(line []byte) bool {
	if bytes.Contains(line, []byte("::")) {
		return true
	}
	fields := bytes.Split(bytes.TrimSpace(line), []byte("\t"))
	return len(fields) == ratingOrder.of && isNumber(string(fields[ratingOrder.time]))
}

// utf8Mark is what spreadsheets begin a file with.
const utf8Mark = "\ufeff"

// newText reads a file of lines, called name.
func newText(in io.Reader, name string, r reading) (rows, error) {
	buffered := bufio.NewReaderSize(in, lineBuffer)
	if mark, _ := buffered.Peek(len(utf8Mark)); string(mark) == utf8Mark {
		_, _ = buffered.Discard(len(utf8Mark)) // what was looked at can be discarded
	}
	first := firstLine(buffered)
	if r.format == Auto {
		r.format = named(name, first)
	}
	if r.format == Auto && r.given() {
		r.format = Events
	}
	isJSON := bytes.HasPrefix(bytes.TrimSpace(first), []byte("{"))
	switch ext, format := filepath.Ext(name), r.format; {
	case bytes.HasPrefix(first, []byte("\xff\xfe")) || bytes.HasPrefix(first, []byte("\xfe\xff")):
		return nil, errors.New("is UTF-16: save it as UTF-8")
	case bytes.IndexByte(first, 0) >= 0:
		return nil, errors.New("has NUL bytes in its first line, as UTF-16 without a byte order mark has: save it as UTF-8")
	case endsInCR(first):
		return nil, errors.New("has lines that end in a carriage return alone, as spreadsheets save for the classic Mac OS: save it as plain CSV or text")
	case format == RecBole && !r.NoHeader:
		return newAtomic(buffered, r)
	case r.given() && format != Events:
		return nil, fmt.Errorf("--format %s has columns and types of its own, --column, --event-type and --no-header are for others: choose one", format)
	case format == MovieLens && bytes.Contains(first, []byte("::")):
		return newDelimited(buffered, "::", ratingOrder, r), nil
	case format == MovieLens && bytes.Contains(first, []byte("\t")):
		return newDelimited(buffered, "\t", ratingOrder, r), nil
	case format == Amazon && isJSON:
		return reviews{newLines(buffered), r}, nil
	case format == Amazon || format == MovieLens || ext == ".csv" || ext == ".tsv":
		return newCSV(buffered, r)
	case ext == ".jsonl" || ext == ".ndjson" || ext == ".json" || format == Events && isJSON:
		return newJSON(buffered, first, r)
	case ext == ".dat" || format == Events:
		return newCSV(buffered, r)
	default:
		return nil, errors.New("is none of .csv, .tsv, .jsonl, .ndjson, .json, .inter, .dat, u.data and .parquet, all but the last also with .gz or .zst; or say what it is with --format")
	}
}

// endsInCR reports whether what passes for the first line is several.
func endsInCR(first []byte) bool {
	return bytes.IndexByte(bytes.TrimSuffix(first, []byte("\r")), '\r') >= 0
}

// firstLine looks at the beginning of the first line, whose errors reading will find again.
func firstLine(in *bufio.Reader) []byte {
	beginning, _ := in.Peek(lineBuffer)
	line, _, _ := bytes.Cut(beginning, []byte("\n"))
	return line
}
