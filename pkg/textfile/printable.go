package textfile

import "strconv"

// maxPrintable is the number of bytes that Printable shows.
const maxPrintable = 200

// Printable returns the beginning of text that comes from outside with its control characters
// escaped, so that it cannot control a terminal.
func Printable[T ~string | ~[]byte](text T) string {
	quoted := strconv.QuoteToGraphic(string(text[:min(len(text), maxPrintable)]))
	return quoted[1 : len(quoted)-1]
}
