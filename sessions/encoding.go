package sessions

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"genrec/pkg/event"
)

// A sequence is one string: its entries, oldest first, and a footer.
//
//	entry   RS event-id US time item-id US type [US version]
//	footer  version (8 hex digits), number of entries (3), bytes at the beginning that
//	        belong to entries that have fallen out (6), time of the newest entry
//
// The version is that of the model whose list the event was an answer to, where its
// rec_id names one. A time is in milliseconds since 1970, 9 digits of base 36. Ids and types have no
// control characters (event.Decode), so that RS, id and US tell an event from all
// others. Two things are stored shorter than they are: UUIDs and types. The scripts
// read and write this, too.
const (
	recordSeparator = "\x1e"
	unitSeparator   = "\x1f"
	uuidMark        = "\x1c" // before the 22 characters that hold a UUID
	timeWidth       = 9
	timeBase        = 36
	versionWidth    = 8
	countWidth      = 3
	skippedWidth    = 6
	footerWidth     = versionWidth + countWidth + skippedWidth + timeWidth
	minEntryWidth   = 3 + timeWidth // the separators
)

const maxMilli = 101559956668416 - 1 // 36^9, in the year 5188

// shortTypes are types that take one byte.
var (
	shortTypes = map[string]string{"view": "v", "click": "c", "add_to_cart": "a", "purchase": "p", "like": "l", "rate": "r"}
	longTypes  = map[string]string{"v": "view", "c": "click", "a": "add_to_cart", "p": "purchase", "l": "like", "r": "rate"}
)

// longTypeOf is longTypes by the byte.
var longTypeOf = func() (table [256]string) {
	for short, long := range longTypes {
		table[short[0]] = long
	}
	return table
}()

// encodeEvent returns the entry of an event, the part that tells it from others and
// the rest.
func encodeEvent(e event.Event) (id, rest string, err error) {
	ms := e.Time.UnixMilli()
	if ms < 0 || ms > maxMilli {
		return "", "", fmt.Errorf("time %v is not between the years 1970 and 5188", e.Time)
	}
	kind, known := shortTypes[e.Type]
	if !known {
		kind = e.Type
	}
	if _, taken := longTypes[kind]; taken != known {
		return "", "", fmt.Errorf("type %q stands for another one", e.Type)
	}
	at := strconv.FormatInt(ms, timeBase)
	at = strings.Repeat("0", timeWidth-len(at)) + at
	rest = at + e.Item + unitSeparator + kind
	if version := VersionOf(e.RecID); version != "" {
		rest += unitSeparator + version
	}
	return recordSeparator + packID(e.ID) + unitSeparator, rest, nil
}

// decodeSequence returns the version and at most window entries of a stored sequence,
// the newest, whose strings share the memory of stored.
func decodeSequence(stored string, window int) (version int64, newest []Interaction, err error) {
	return decodeEntries(stored, window, &uuids{})
}

// decodeEntries is decodeSequence; with nil for ids, it leaves out event ids, which take
// half of the time.
func decodeEntries(stored string, window int, ids *uuids) (version int64, newest []Interaction, err error) {
	version, count, entries, err := splitSequence(stored, window)
	if err != nil {
		return 0, nil, err
	}
	if count > 0 {
		newest = make([]Interaction, count)
	}
	if ids != nil {
		ids.left = count
	}
	for i := range newest {
		var entry string
		entry, entries = cutEntry(entries)
		if !decodeEntry(entry, &newest[i], ids) {
			return 0, nil, corruptEntry(entry, i, count)
		}
	}
	if entries != "" {
		return 0, nil, tooManyEntries(count)
	}
	return version, newest, nil
}

// decodeItems returns the items of what decodeSequence returns.
func decodeItems(stored string, window int) ([]string, error) {
	_, count, entries, err := splitSequence(stored, window)
	if err != nil {
		return nil, err
	}
	items := make([]string, count)
	for i := range items {
		var entry string
		entry, entries = cutEntry(entries)
		f, ok := splitEntry(entry)
		if !ok {
			return nil, corruptEntry(entry, i, count)
		}
		items[i] = f.item
	}
	if entries != "" {
		return nil, tooManyEntries(count)
	}
	return items, nil
}

func corruptEntry(entry string, at, count int) error {
	if entry == "" {
		return fmt.Errorf("corrupt footer: it counts %d entries, not %d", count, at)
	}
	return fmt.Errorf("corrupt entry %q", entry)
}

func tooManyEntries(count int) error {
	return fmt.Errorf("corrupt footer: there are more than the %d entries that it counts", count)
}

// footer is what a stored sequence ends with.
type footer struct {
	version, count, skipped int64
	newest                  string // time of the newest entry
}

// cutFooter splits off the footer of a stored sequence. The entries are those that have fallen
// out, too.
func cutFooter(stored string) (entries string, f footer, err error) {
	if len(stored) < footerWidth {
		return "", f, fmt.Errorf("%d bytes are too few for a sequence", len(stored))
	}
	entries, text := stored[:len(stored)-footerWidth], stored[len(stored)-footerWidth:]
	var fields [3]int64
	for i, width := range [...]int{versionWidth, countWidth, skippedWidth} {
		if fields[i] = parseDigits(text[:width], 16); fields[i] < 0 {
			return "", f, fmt.Errorf("corrupt footer: %q is not a hexadecimal number", text[:width])
		}
		text = text[width:]
	}
	f = footer{version: fields[0], count: fields[1], skipped: fields[2], newest: text}
	if f.skipped > int64(len(entries)) {
		return "", f, fmt.Errorf("corrupt footer: entries begin after %d bytes of %d", f.skipped, len(entries))
	}
	return entries, f, nil
}

// splitSequence reads the footer, and returns how many entries there are, at most window,
// and the text that they should make up.
func splitSequence(stored string, window int) (version int64, count int, entries string, err error) {
	if stored == "" {
		return 0, 0, "", nil
	}
	all, f, err := cutFooter(stored)
	if err != nil {
		return 0, 0, "", err
	}
	version, count, entries = f.version, int(f.count), all[f.skipped:]
	if count > 0 && !strings.HasPrefix(entries, recordSeparator) {
		return 0, 0, "", fmt.Errorf("corrupt footer: no entry begins after %d bytes", f.skipped)
	}
	for ; count > window && entries != ""; count-- {
		_, entries = cutEntry(entries)
	}
	if most := len(entries) / minEntryWidth; count > most {
		return 0, 0, "", fmt.Errorf("corrupt footer: %d bytes are too few for %d entries", len(entries), count)
	}
	return version, count, entries, nil
}

// cutEntry splits off the first entry.
func cutEntry(entries string) (entry, rest string) {
	if entries == "" {
		return "", ""
	}
	next := strings.IndexByte(entries[1:], recordSeparator[0])
	if next < 0 {
		return entries, ""
	}
	return entries[:1+next], entries[1+next:]
}

// fields are those of an entry.
type fields struct {
	id   string // as packID returns it
	ms   int64
	item string
	kind string // as it is stored
	by   string // the version
}

func splitEntry(entry string) (f fields, ok bool) {
	if entry == "" || entry[0] != recordSeparator[0] {
		return fields{}, false
	}
	var rest string
	f.id, rest, ok = cutByte(entry[1:], unitSeparator[0])
	if !ok || len(rest) < timeWidth {
		return fields{}, false
	}
	f.ms = parseDigits(rest[:timeWidth], timeBase)
	f.item, rest, ok = cutByte(rest[timeWidth:], unitSeparator[0])
	if !ok || f.ms < 0 {
		return fields{}, false
	}
	f.kind, f.by, _ = cutByte(rest, unitSeparator[0])
	return f, true
}

// cutByte is strings.Cut, inlined.
func cutByte(s string, separator byte) (before, after string, found bool) {
	if at := strings.IndexByte(s, separator); at >= 0 {
		return s[:at], s[at+1:], true
	}
	return s, "", false
}

func decodeEntry(entry string, i *Interaction, ids *uuids) bool {
	f, ok := splitEntry(entry)
	if !ok {
		return false
	}
	if ids != nil {
		if i.EventID, ok = ids.unpack(f.id); !ok {
			return false
		}
	}
	i.Item, i.Type, i.Time, i.Credited = f.item, f.kind, time.UnixMilli(f.ms).UTC(), f.by
	if len(f.kind) == 1 {
		if long := longTypeOf[f.kind[0]]; long != "" {
			i.Type = long
		}
	}
	return true
}

// parseDigits returns a number of few digits, -1 if it is none.
func parseDigits(text string, base int64) (n int64) {
	for i := range len(text) {
		var digit int64
		switch c := text[i]; {
		case '0' <= c && c <= '9':
			digit = int64(c - '0')
		case 'a' <= c && c <= 'z':
			digit = int64(c-'a') + 10
		case 'A' <= c && c <= 'Z':
			digit = int64(c-'A') + 10
		default:
			return -1
		}
		if digit >= base {
			return -1
		}
		n = n*base + digit
	}
	return n
}

// packID shortens UUIDs, which most event ids are, from 36 bytes to 23.
func packID(id string) string {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return id
	}
	bytes, err := hex.DecodeString(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:])
	if err != nil {
		return id
	}
	if text := formatUUID([16]byte(bytes)); string(text[:]) != id { // upper case must stay
		return id
	}
	return uuidMark + base64.RawURLEncoding.EncodeToString(bytes)
}

// uuids unpacks event ids into memory that they share.
type uuids struct {
	left int // ids at most
	text strings.Builder
}

const uuidWidth, packedWidth = 36, 22

func (u *uuids) unpack(packed string) (id string, ok bool) {
	defer func() { u.left-- }()
	if packed == "" || packed[0] != uuidMark[0] {
		return packed, true
	}
	if packed = packed[1:]; len(packed) != packedWidth {
		return "", false
	}
	var text [packedWidth]byte
	var bytes [16]byte
	copy(text[:], packed)
	if n, err := base64.RawURLEncoding.Decode(bytes[:], text[:]); err != nil || n != len(bytes) {
		return "", false
	}
	if u.text.Cap() == 0 {
		u.text.Grow(uuidWidth * u.left)
	}
	uuid := formatUUID(bytes)
	u.text.Write(uuid[:])
	all := u.text.String()
	return all[len(all)-uuidWidth:], true
}

func formatUUID(bytes [16]byte) (text [uuidWidth]byte) {
	hex.Encode(text[:8], bytes[:4])
	text[8] = '-'
	hex.Encode(text[9:13], bytes[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], bytes[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], bytes[8:10])
	text[23] = '-'
	hex.Encode(text[24:], bytes[10:])
	return text
}
