package backfill

import (
	"math"
	"strconv"
	"time"
)

// What numbers and texts mean as times, in the order in which they are tried. A text without
// a time zone is UTC.
var layouts = []string{
	time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.DateOnly,
	"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02 15:04",
}

// milliseconds reads a time as milliseconds since the Unix epoch. A number's unit follows from
// its size: 100,000,000,000 is in the year 5138 in seconds, and in 1973 in milliseconds, and so
// on. Other text stays as it is, to be judged with the event.
func milliseconds(text string) string {
	const leastMillis, leastMicros, leastNanos, most = 1e11, 1e14, 1e17, 1e20
	at, err := strconv.ParseFloat(text, 64)
	size := math.Abs(at)
	switch {
	case err != nil:
		return textMilliseconds(text)
	case !(size < most): // not a number, too
		return text
	case size >= leastNanos:
		at /= 1e6
	case size >= leastMicros:
		at /= 1e3
	case size < leastMillis:
		at *= 1e3
	}
	return strconv.FormatInt(int64(math.Round(at)), 10)
}

func textMilliseconds(text string) string {
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			return strconv.FormatInt(at.UnixMilli(), 10)
		}
	}
	return text
}
