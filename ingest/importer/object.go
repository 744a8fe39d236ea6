package importer

import (
	"encoding/json"
	"strings"
)

// object is a JSON object under construction.
type object struct{ text []byte }

func newObject() *object { return &object{text: []byte{'{'}} }

// add takes a field as text, whatever it is in JSON.
func (o *object) add(name, text string) {
	switch {
	case name == "context", name == "timestamp" && isInteger(text):
		o.addRaw(name, text)
	default:
		quoted, _ := json.Marshal(text) // of a string, never fails
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

// isInteger says whether the text is an integer of JSON, which has no zeros in front.
func isInteger(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
}
