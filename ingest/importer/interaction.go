package importer

import "strconv"

// interaction is a row of a dataset, as text. What is not there is empty.
type interaction struct{ user, item, rating, time string }

// event is the interaction as an event in JSON. Its id follows from what the row says, so
// that a repeated import counts it once.
func (i interaction) event(r reading) []byte {
	value := newObject()
	at := r.milliseconds(i.time)
	value.add("event_id", idOf(i.user, i.item, at, plainNumber(i.rating)))
	for _, field := range []struct{ name, text string }{{"user_id", i.user}, {"item_id", i.item}, {"timestamp", at}} {
		if field.text != "" {
			value.add(field.name, field.text)
		}
	}
	if i.rating != "" {
		value.add("type", "rate")
	}
	return value.end()
}

// plainNumber writes equal numbers alike: files of the same ratings have 5 and 5.0.
func plainNumber(text string) string {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}
