package backfill

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
func named(name string) Format {
	switch ext := filepath.Ext(name); {
	case ext == ".inter":
		return RecBole
	case ext == ".dat" || name == "u.data":
		return MovieLens
	default:
		return Auto
	}
}

// utf8Mark is what spreadsheets begin a file with.
const utf8Mark = "\ufeff"

// newText reads a file of lines, called name.
func newText(in io.Reader, name string, format Format, words Words) (rows, error) {
	if format == Auto {
		format = named(name)
	}
	if format == Auto && words.given() {
		format = Events
	}
	buffered := bufio.NewReaderSize(in, lineBuffer)
	if mark, _ := buffered.Peek(len(utf8Mark)); string(mark) == utf8Mark {
		_, _ = buffered.Discard(len(utf8Mark)) // what was looked at can be discarded
	}
	first := firstLine(buffered)
	isJSON := bytes.HasPrefix(bytes.TrimSpace(first), []byte("{"))
	switch ext := filepath.Ext(name); {
	case bytes.HasPrefix(first, []byte("\xff\xfe")) || bytes.HasPrefix(first, []byte("\xfe\xff")):
		return nil, errors.New("is UTF-16: save it as UTF-8")
	case format == RecBole:
		return newAtomic(buffered, words.Columns)
	case words.given() && format != Events:
		return nil, fmt.Errorf("--format %s has columns and types of its own, --column and --event-type are for others: choose one", format)
	case format == MovieLens && bytes.Contains(first, []byte("::")):
		return newDelimited(buffered, "::", ratingOrder), nil
	case format == MovieLens && bytes.Contains(first, []byte("\t")):
		return newDelimited(buffered, "\t", ratingOrder), nil
	case format == Amazon && isJSON:
		return reviews{newLines(buffered)}, nil
	case format == Amazon || format == MovieLens || ext == ".csv" || ext == ".tsv":
		return newCSV(buffered, format, words)
	case ext == ".jsonl" || ext == ".ndjson" || ext == ".json":
		return newJSON(buffered, first, format, words)
	default:
		return nil, errors.New("is none of .csv, .tsv, .jsonl, .ndjson, .json, .inter, .dat, u.data and .parquet, all but the last also with .gz or .zst; or say what it is with --format")
	}
}

// firstLine looks at the beginning of the first line, whose errors reading will find again.
func firstLine(in *bufio.Reader) []byte {
	beginning, _ := in.Peek(lineBuffer)
	line, _, _ := bytes.Cut(beginning, []byte("\n"))
	return line
}
