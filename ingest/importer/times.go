package importer

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// layouts are the formats that are always understood, in the order in which they are tried. No
// text matches two of them with different times. Without a time zone, times are UTC.
var layouts = []string{
	time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.DateOnly,
	"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02 15:04",
	"2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02 15:04:05Z0700",
	"2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05 Z0700", "2006-01-02 15:04:05 -0700 MST",
	"2006-01-02T15:04", "2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", // Java omits seconds that are zero
	"2006-01-02 3:04:05 PM", "2006-01-02 3:04 PM",
	"2006/01/02 15:04:05", "2006/01/02 15:04", "2006/01/02", "2006/01/02 15:04:05 -0700",
	time.RFC1123, time.RFC1123Z,
}

// TimeFormat is a format of --time-format, as equivalent layouts of package time.
type TimeFormat []string

// ParseTimeFormats parses formats of strftime, such as %d/%m/%Y %H:%M, or layouts of package
// time.
func ParseTimeFormats(texts []string) ([]TimeFormat, error) {
	formats := make([]TimeFormat, len(texts))
	for i, text := range texts {
		var err error
		if formats[i], err = parseTimeFormat(text); err != nil {
			return nil, err
		}
	}
	return formats, nil
}

// directives maps those of strftime to layouts of package time. Some have several, because the
// programs that export times differ.
var directives = map[byte][]string{
	'Y': {"2006"}, 'y': {"06"}, 'm': {"1"}, 'd': {"2"}, 'e': {"_2"}, 'b': {"Jan"}, 'h': {"Jan"}, 'B': {"January"}, 'a': {"Mon"}, 'A': {"Monday"},
	'H': {"15"}, 'k': {"15"}, 'I': {"3"}, 'l': {"3"}, 'M': {"4"}, 'S': {"5"}, 'p': {"PM", "pm"}, 'P': {"pm", "PM"},
	'z': {"Z07:00", "Z0700", "Z07"}, 'Z': {"MST"}, 'F': {"2006-1-2"}, 'T': {"15:4:5"}, 'R': {"15:4"}, 'D': {"1/2/06"}, '%': {"%"},
}

func parseTimeFormat(text string) (TimeFormat, error) {
	const example = `want one such as "%d/%m/%Y %H:%M:%S" or "%m/%d/%Y %I:%M %p"`
	if !strings.Contains(text, "%") {
		return checkTimeFormat(text, TimeFormat{text}, example)
	}
	format := TimeFormat{""}
	// package time accepts a fraction after seconds without a directive.
	rest := strings.NewReplacer(".%f", "", ",%f", "", ".%L", "", ".%N", "").Replace(text)
	for rest != "" {
		literal, directive, found := strings.Cut(rest, "%")
		if strings.ContainsAny(literal, "0123456789") {
			return nil, fmt.Errorf("%q has digits between its directives: %s", text, example)
		}
		meanings := []string{""}
		rest = ""
		if found {
			directive = strings.TrimPrefix(directive, "-") // %-d is without a leading zero, which is accepted anyway
			if directive == "" || directives[directive[0]] == nil {
				return nil, fmt.Errorf("%q has an unknown directive in %q: %s", text, "%"+directive, example)
			}
			meanings, rest = directives[directive[0]], directive[1:]
		}
		var next TimeFormat
		for _, meaning := range meanings {
			for _, before := range format {
				next = append(next, before+literal+meaning)
			}
		}
		format = next
	}
	return checkTimeFormat(text, format, example)
}

// checkTimeFormat rejects a format that would lose the date.
func checkTimeFormat(text string, format TimeFormat, example string) (TimeFormat, error) {
	at := time.Date(2031, 11, 28, 9, 47, 0, 0, time.UTC)
	got, err := time.Parse(format[0], at.Format(format[0]))
	if err != nil || got.Format(time.DateOnly) != at.Format(time.DateOnly) {
		return nil, fmt.Errorf("%q does not say year, month and day: %s", text, example)
	}
	return format, nil
}

// parseTime parses a time in a file. The unit of a number follows from its magnitude:
// 100,000,000,000 is in the year 5138 in seconds and in 1973 in milliseconds.
func (m Mapping) parseTime(text string) (time.Time, bool) {
	text = strings.TrimSpace(text)
	for _, format := range m.TimeFormats {
		for _, layout := range format {
			if at, ok := parseLayout(layout, text); ok {
				return at, true
			}
		}
	}
	if strings.IndexByte(text, ':') < 0 { // else the error of ParseFloat would take longer than parsing the time
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return timeOfNumber(n)
		}
	}
	text, _, _ = strings.Cut(text, " m=") // the monotonic clock reading in times that Go prints
	for _, layout := range layouts {
		if at, ok := parseLayout(layout, text); ok {
			return at, true
		}
	}
	return time.Time{}, false
}

func timeOfNumber(n float64) (time.Time, bool) {
	const minMillis, minMicros, minNanos, limit = 1e11, 1e14, 1e17, 1e20
	switch size := math.Abs(n); {
	case !(size < limit): // also NaN
		return time.Time{}, false
	case size >= minNanos:
		n /= 1e6
	case size >= minMicros:
		n /= 1e3
	case size < minMillis:
		n *= 1e3
	}
	return time.UnixMilli(int64(math.Round(n))).UTC(), true
}

// parseLayout is time.Parse, except that it rejects the names of time zones other than UTC, which
// time.Parse would take for UTC.
func parseLayout(layout, text string) (time.Time, bool) {
	at, err := time.ParseInLocation(layout, text, time.UTC)
	if err != nil {
		return time.Time{}, false
	}
	if strings.Contains(layout, "MST") && !strings.Contains(layout, "07") {
		if zone, _ := at.Zone(); zone != "UTC" && zone != "GMT" {
			return time.Time{}, false
		}
	}
	return at.UTC(), true
}

// isTime reports whether a text is a valid time of an event.
func (o fileOptions) isTime(text string) bool {
	at, ok := o.parseTime(text)
	return ok && !at.Before(o.limits.Earliest) && !at.After(time.Now().Add(o.limits.MaxAhead))
}

// milliseconds converts a time to milliseconds since the Unix epoch. Any other text is returned
// unchanged, so that the event is rejected.
func (o fileOptions) milliseconds(text string) string {
	at, ok := o.parseTime(text)
	if !ok || at.Before(o.limits.Earliest) || at.After(time.Now().Add(o.limits.MaxAhead)) {
		return text
	}
	return strconv.FormatInt(at.UnixMilli(), 10)
}

// explainTime returns why a time, as written in the file, is invalid.
func (o fileOptions) explainTime(text string) string {
	const most = 64
	shown := strconv.QuoteToASCII(text[:min(len(text), most)])
	if len(text) > most {
		shown += "..."
	}
	var wrong string
	switch at, ok := o.parseTime(text); {
	case !ok:
		wrong = "is not a time such as 2026-03-01 12:00:00, RFC 3339 or a number"
	case at.Before(o.limits.Earliest):
		wrong = fmt.Sprintf("is %s, before %s", at.Format(time.RFC3339), o.limits.Earliest.Format(time.DateOnly))
	default:
		wrong = fmt.Sprintf("is %s, more than %v ahead", at.Format(time.RFC3339), o.limits.MaxAhead)
	}
	return shown + " " + wrong + `: set the format with --time-format, such as "%d/%m/%Y %H:%M" or "%m/%d/%Y %I:%M:%S %p"`
}
