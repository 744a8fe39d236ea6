package importer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"genrec/pkg/event"
)

// Fields of an event that a table must have, and may have. Other columns are ignored.
var (
	requiredFields = []string{"user_id", "item_id", "timestamp"}
	eventFields    = append(slices.Clone(requiredFields), "event_id", "type", "context", "rec_id")
)

// Mapping maps the names and times in files to those of events.
type Mapping struct {
	Columns     Columns      // names of columns
	Types       Types        // names of event types
	TimeFormats []TimeFormat // tried before the formats that are always understood
	NoHeader    bool         // text tables have no column names: columns are called 1, 2, 3, ...
}

// given reports whether the mapping has what only events can have.
func (m Mapping) given() bool { return len(m.Columns) > 0 || len(m.Types) > 0 || m.NoHeader }

// Types maps the names of event types in files to those of events.
type Types map[string]string

// ParseTypes parses pairs TYPE=NAME.
func ParseTypes(pairs []string) (Types, error) {
	return parsePairs(pairs, "TYPE=WORD, such as add_to_cart=cart", event.DefaultLimits().Types)
}

// Columns maps the names of columns to fields of events. A field that it does not contain is
// the column whose name differs in case, spaces and punctuation at most: User ID and userId are
// user_id.
type Columns map[string]string

// ParseColumns parses pairs FIELD=COLUMN.
func ParseColumns(pairs []string) (Columns, error) {
	columns, err := parsePairs(pairs, "FIELD=COLUMN, such as user_id=customer", eventFields)
	if err != nil {
		return nil, err
	}
	mapped := make(map[string]bool)
	for _, field := range columns {
		if mapped[field] {
			return nil, fmt.Errorf("there are two columns for %s", field)
		}
		mapped[field] = true
	}
	return columns, nil
}

// parsePairs parses pairs NAME=TEXT with one of the names, and returns the names by text.
func parsePairs(pairs []string, form string, names []string) (map[string]string, error) {
	byText := make(map[string]string)
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		switch {
		case !ok || text == "":
			return nil, fmt.Errorf("%q is not %s", pair, form)
		case !slices.Contains(names, name):
			return nil, fmt.Errorf("%q: %q is none of %s", pair, name, strings.Join(names, ", "))
		case byText[text] != "":
			return nil, fmt.Errorf("%q cannot be both %s and %s", text, byText[text], name)
		}
		byText[text] = name
	}
	return byText, nil
}

// has reports whether a column is mapped to a field.
func (c Columns) has(field string) bool {
	for _, mapped := range c {
		if mapped == field {
			return true
		}
	}
	return false
}

// fieldsOfTable returns the field of each column of a table, and of each partition column after
// them; "" for none. All mapped columns must exist.
func (o fileOptions) fieldsOfTable(names []string) ([]string, error) {
	names = o.withPartitions(names)
	for name, field := range o.Columns {
		if !slices.Contains(names, name) {
			return nil, missingMappedColumn(name, field, names)
		}
	}
	return o.Columns.fieldsOf(names)
}

// withPartitions appends the names of the partition columns. If the file has a column of that
// name, too, the partition column has no name, so that the file's value counts.
func (o fileOptions) withPartitions(names []string) []string {
	all := slices.Clone(names)
	for _, p := range o.partitions {
		if slices.Contains(names, p.name) {
			p.name = ""
		}
		all = append(all, p.name)
	}
	return all
}

// fieldsOf returns the field of each column; "" for none. All required fields must exist.
func (c Columns) fieldsOf(names []string) ([]string, error) {
	fields := make([]string, len(names))
	for i, name := range names {
		field := c[name]
		if field == "" {
			field = similarField(name)
			if c.has(field) {
				continue
			}
		}
		if field != "" && slices.Contains(fields, field) {
			return nil, fmt.Errorf("there are two columns %q: choose one with --column %s=COLUMN", field, field)
		}
		fields[i] = field
	}
	for _, field := range requiredFields {
		if !slices.Contains(fields, field) {
			return nil, missingField(field, names)
		}
	}
	return fields, nil
}

// similarField returns the field whose name differs in case, spaces and punctuation at most, or
// "".
func similarField(name string) string {
	for _, field := range eventFields {
		if normalizeName(name) == normalizeName(field) {
			return field
		}
	}
	return ""
}

func normalizeName(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(name))
}

// missingColumnError is the error about a missing column of a required field.
type missingColumnError struct {
	error
	field string
}

func missingMappedColumn(name, field string, names []string) error {
	return missingColumnError{fmt.Errorf("there is no column %q for %s among %s", name, field, joinNames(names)), field}
}

func missingField(field string, names []string) error {
	return missingColumnError{fmt.Errorf("there is no column %q among %s: map another one with --column %s=COLUMN", field, joinNames(names), field), field}
}

// joinNames joins names for an error, up to some number.
func joinNames(names []string) string {
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

// event returns a record with these fields as a JSON event, and its time as written. Without a
// column of ids, the id follows from the content, so that a repeated import counts it once.
func (o fileOptions) event(fields, record []string) (event []byte, time string) {
	value := newObject()
	var content [len(contentFields)]string
	for i, field := range fields {
		var text string
		if i < len(record) {
			text = record[i]
		} else {
			text = o.partitions[i-len(record)].value
		}
		if field == "" || text == "" {
			continue
		}
		switch field {
		case "timestamp":
			time = text
			text = o.milliseconds(text)
		case "type":
			text = strings.TrimSpace(text)
			if mapped := o.Types[text]; mapped != "" {
				text = mapped
			}
		}
		if at := slices.Index(contentFields[:], field); at >= 0 {
			content[at] = text
		}
		value.add(field, text)
	}
	if !slices.Contains(fields, "event_id") {
		value.add("event_id", contentID(content[:]...))
	}
	return value.end(), time
}

// contentFields are the fields that contentID depends on.
var contentFields = [...]string{"user_id", "item_id", "timestamp", "type"}

// idNamespace is the UUID namespace of content ids.
var idNamespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("genrec:import"))

// contentID returns the event id that follows from the content of an event.
func contentID(content ...string) string {
	return uuid.NewSHA1(idNamespace, []byte(strings.Join(content, "\x00"))).String() // valid ids have no NUL
}

// object builds a JSON object.
type object struct{ text []byte }

func newObject() *object { return &object{text: []byte{'{'}} }

// add adds a field of an event, given as text.
func (o *object) add(name, text string) {
	switch {
	case name == "context", name == "timestamp" && isInteger(text):
		o.addRaw(name, text)
	default:
		quoted, _ := json.Marshal(text) // cannot fail for a string
		o.addRaw(name, string(quoted))
	}
}

func (o *object) addRaw(name, raw string) {
	if len(o.text) > 1 {
		o.text = append(o.text, ',')
	}
	o.text = append(o.text, '"')
	o.text = append(o.text, name...)
	o.text = append(o.text, '"', ':')
	o.text = append(o.text, raw...)
}

func (o *object) end() []byte { return append(o.text, '}') }

// isInteger reports whether the text is a JSON integer, which has no leading zeros.
func isInteger(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
}
