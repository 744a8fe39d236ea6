package backfill

import (
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// namespace is that of ids of events that come from datasets.
var namespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("genrec:import"))

// interaction is a row of a dataset, as text. What is not there is empty.
type interaction struct{ user, item, rating, time string }

// event is the interaction as an event in JSON. Its id follows from what the row says, so
// that a repeated import counts it once.
func (i interaction) event() []byte {
	value := newObject()
	at := milliseconds(i.time)
	name := strings.Join([]string{i.user, i.item, at, plainNumber(i.rating)}, "\x00") // no valid id has this character
	value.add("event_id", uuid.NewSHA1(namespace, []byte(name)).String())
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

// milliseconds reads a number of seconds or milliseconds since the Unix epoch. Which of them
// it is follows from its size: in seconds this one is in the year 5138, in milliseconds in 1973.
// Other text stays as it is, to be judged with the event.
func milliseconds(text string) string {
	const leastMillis = 1e11
	at, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(at) || math.Abs(at) > 1<<53 {
		return text
	}
	if math.Abs(at) < leastMillis {
		at *= 1000
	}
	return strconv.FormatInt(int64(math.Round(at)), 10)
}

// plainNumber writes equal numbers alike: files of the same ratings have 5 and 5.0.
func plainNumber(text string) string {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}
