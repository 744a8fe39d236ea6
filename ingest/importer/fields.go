package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"genrec/pkg/event"
)

// Fields of an event that a table must have and may have. Other columns are left out.
var (
	required = []string{"user_id", "item_id", "timestamp"}
	known    = append(slices.Clone(required), "event_id", "type", "context", "rec_id")
)

// Words are what files say in place of the words of an event.
type Words struct {
	Columns     Columns
	Types       Types
	TimeFormats []TimeFormat // tried before what is understood anyway
	NoHeader    bool         // tables have no line of column names: columns are called 1, 2, 3, ...
}

func (w Words) given() bool { return len(w.Columns) > 0 || len(w.Types) > 0 || w.NoHeader }

// reading is how the files of an import are read.
type reading struct {
	Words
	format     Format
	limits     event.Limits
	partitions []partition // of the folder that the file is in
}

// partition is a column whose value is in the name of a folder, as Hive and Spark write it.
type partition struct{ name, value string }

// Types are what files call the types of events: from their word to the type.
type Types map[string]string

// ParseTypes reads pairs of TYPE=WORD.
func ParseTypes(pairs []string) (Types, error) {
	return parsePairs(pairs, "TYPE=WORD, such as add_to_cart=cart", event.DefaultLimits().Types)
}

// parsePairs reads pairs of one of the names and a word of a file, and finds by the word.
func parsePairs(pairs []string, form string, names []string) (map[string]string, error) {
	byWord := make(map[string]string)
	for _, pair := range pairs {
		name, word, ok := strings.Cut(pair, "=")
		switch {
		case !ok || word == "":
			return nil, fmt.Errorf("%q is not %s", pair, form)
		case !slices.Contains(names, name):
			return nil, fmt.Errorf("%q: %q is none of %s", pair, name, strings.Join(names, ", "))
		case byWord[word] != "":
			return nil, fmt.Errorf("%q cannot be both %s and %s", word, byWord[word], name)
		}
		byWord[word] = name
	}
	return byWord, nil
}

// Columns are what files call the fields of an event: from the name of a column to that of the
// field. A field that is not in it is one whose name differs in case, blanks and signs at most:
// User ID and userId are user_id.
type Columns map[string]string

// ParseColumns reads pairs of FIELD=COLUMN.
func ParseColumns(pairs []string) (Columns, error) {
	columns, err := parsePairs(pairs, "FIELD=COLUMN, such as user_id=customer", known)
	if err != nil {
		return nil, err
	}
	named := make(map[string]bool)
	for _, field := range columns {
		if named[field] {
			return nil, fmt.Errorf("there are two columns for %s", field)
		}
		named[field] = true
	}
	return columns, nil
}

func (c Columns) has(field string) bool {
	for _, named := range c {
		if named == field {
			return true
		}
	}
	return false
}

// fieldsOfTable says which field each column of a table is, and each partition behind them; ""
// is none.
func (r reading) fieldsOfTable(names []string) ([]string, error) {
	names = r.withPartitions(names)
	for name, field := range r.Columns {
		if !slices.Contains(names, name) {
			return nil, noColumn(name, field, names)
		}
	}
	return r.Columns.fieldsOf(names)
}

// withPartitions adds their names to those of a file's columns. One that the file has, too, gets
// none, so that the file's own value counts.
func (r reading) withPartitions(names []string) []string {
	all := slices.Clone(names)
	for _, p := range r.partitions {
		if slices.Contains(names, p.name) {
			p.name = ""
		}
		all = append(all, p.name)
	}
	return all
}

// missingError is of a field that an event needs and no column is.
type missingError struct {
	error
	field string
}

func noColumn(name, field string, names []string) error {
	return missingError{fmt.Errorf("there is no column %q for %s among %s", name, field, list(names)), field}
}

func noField(field string, names []string) error {
	return missingError{fmt.Errorf("there is no column %q among %s: name the one that it is with --column %s=COLUMN", field, list(names), field), field}
}

// list writes names for an error; there can be any number.
func list(names []string) string {
	const most = 40
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// fieldsOf is fieldsOfTable where columns may be missing.
func (c Columns) fieldsOf(names []string) ([]string, error) {
	fields := make([]string, len(names))
	for i, name := range names {
		field := c[name]
		if field == "" {
			field = fieldLike(name)
			if c.has(field) {
				continue
			}
		}
		if field != "" && slices.Contains(fields, field) {
			return nil, fmt.Errorf("there are two columns %q: say which one it is with --column %s=COLUMN", field, field)
		}
		fields[i] = field
	}
	for _, field := range required {
		if !slices.Contains(fields, field) {
			return nil, noField(field, names)
		}
	}
	return fields, nil
}

// fieldLike is the field whose name differs from this one in case, blanks and signs at most.
func fieldLike(name string) string {
	for _, field := range known {
		if letters(name) == letters(field) {
			return field
		}
	}
	return ""
}

func letters(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(name))
}

// event is a record of these fields as an event in JSON, with its time as it is written. Where
// there is no column of ids, one follows from what the record says, so that a repeated import
// counts it once.
func (r reading) event(fields, record []string) (event []byte, written string) {
	value := newObject()
	var said [len(idFields)]string
	for i, field := range fields {
		var text string
		if i < len(record) {
			text = record[i]
		} else {
			text = r.partitions[i-len(record)].value
		}
		if field == "" || text == "" {
			continue
		}
		switch field {
		case "timestamp":
			written = text
			text = r.milliseconds(text)
		case "type":
			text = strings.TrimSpace(text)
			if known := r.Types[text]; known != "" {
				text = known
			}
		}
		if at := slices.Index(idFields[:], field); at >= 0 {
			said[at] = text
		}
		value.add(field, text)
	}
	if !slices.Contains(fields, "event_id") {
		value.add("event_id", idOf(said[:]...))
	}
	return value.end(), written
}

// idFields are what an id follows from.
var idFields = [...]string{"user_id", "item_id", "timestamp", "type"}

// namespace is that of the ids of events that come without one.
var namespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("genrec:import"))

// idOf is an id that follows from what an event says.
func idOf(said ...string) string {
	return uuid.NewSHA1(namespace, []byte(strings.Join(said, "\x00"))).String() // no valid id has this character
}
