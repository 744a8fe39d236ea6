package userstate

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"genrec/pkg/event"
)

// Format is the number of the encoding of sequences and erasures, stored under Keys.Format. It
// must change with them, so that no program reads or overwrites an encoding it does not know.
const Format = 1

// MaxWindow is the maximum number of interactions in a sequence.
const MaxWindow = 512

// Interaction is an element of a sequence.
type Interaction struct {
	EventID  string    // ID of the event, unique within the sequence
	Item     string    // ID of the item
	Type     string    // one of event.Limits.Types
	Time     time.Time // of the event, in UTC with millisecond precision
	Credited string    // model version credited with it, from the event's rec_id; "" if there is none
}

// A stored sequence is one string: its entries, oldest first, and a footer.
//
//	entry   RS event-id US time item-id US type [US model-version]
//	footer  version (8 hex digits), number of entries (3), size in bytes of the evicted
//	        entries at the beginning (6), time of the newest entry
//
// The model version is the one credited with the event. A time is in milliseconds since 1970, as
// 9 digits of base 36. IDs and types contain no control characters (event.Decode rejects them),
// so RS event-id US occurs in a sequence if and only if it contains the event. Event IDs that are
// UUIDs and the known types are stored in a shorter form. append.lua, put.lua and forget.lua of
// package sessions read and write this encoding, too.
const (
	recordSeparator = "\x1e"
	unitSeparator   = "\x1f"
	uuidMark        = "\x1c" // precedes the 22 characters that encode a UUID
	timeWidth       = 9
	timeBase        = 36
	versionWidth    = 8
	countWidth      = 3
	evictedWidth    = 6
	minEntryWidth   = 3 + timeWidth // the separators

	// FooterWidth is the size of the footer in bytes.
	FooterWidth = versionWidth + countWidth + evictedWidth + timeWidth
)

// Byte ranges within a stored sequence, as arguments of GETRANGE.
const (
	VersionStart = -FooterWidth                    // of the version: see ParseVersion
	VersionEnd   = VersionStart + versionWidth - 1 // inclusive
	NewestStart  = -timeWidth                      // of the time of the newest entry: see ParseTime
	NewestEnd    = -1                              // inclusive
)

const maxMilli = 101559956668416 - 1 // 36^9, in the year 5188

// shortTypes are the types that are stored as one byte.
var (
	shortTypes = map[string]string{"view": "v", "click": "c", "add_to_cart": "a", "purchase": "p", "like": "l", "rate": "r"}
	longTypes  = map[string]string{"v": "view", "c": "click", "a": "add_to_cart", "p": "purchase", "l": "like", "r": "rate"}
)

// longTypeOf is longTypes indexed by the byte.
var longTypeOf = func() (table [256]string) {
	for short, long := range longTypes {
		table[short[0]] = long
	}
	return table
}()

// Entry is an encoded event, in two parts.
type Entry struct {
	Key  string // identifies the event: a stored sequence contains Key if and only if it has the event
	Rest string // follows Key, begins with the time
}

// Time returns the encoded time. Encoded times have equal lengths and compare like the times.
func (e Entry) Time() string { return e.Rest[:timeWidth] }

// EncodeEvent returns the entry of an event, which must be as event.Decode returns it.
func EncodeEvent(e event.Event) (Entry, error) {
	ms := e.Time.UnixMilli()
	if ms < 0 || ms > maxMilli {
		return Entry{}, fmt.Errorf("time %v is not between the years 1970 and 5188", e.Time)
	}
	kind, known := shortTypes[e.Type]
	if !known {
		kind = e.Type
	}
	if _, taken := longTypes[kind]; taken != known {
		return Entry{}, fmt.Errorf("type %q is reserved as the short form of another type", e.Type)
	}
	at := strconv.FormatInt(ms, timeBase)
	at = strings.Repeat("0", timeWidth-len(at)) + at
	rest := at + e.Item + unitSeparator + kind
	if version := VersionOf(e.RecID); version != "" {
		rest += unitSeparator + version
	}
	return Entry{Key: recordSeparator + packID(e.ID) + unitSeparator, Rest: rest}, nil
}

// Footer is the end of a stored sequence.
type Footer struct {
	Version int64  // of the sequence
	Count   int64  // entries, without the evicted ones
	Evicted int64  // bytes at the beginning that belong to entries evicted from the window
	Newest  string // encoded time of the newest entry
}

// Encode returns the stored form.
func (f Footer) Encode() string {
	return fmt.Sprintf("%08x%03x%06x", f.Version, f.Count, f.Evicted) + f.Newest
}

// CutFooter splits a stored sequence into its entries, including the evicted ones, and the
// footer.
func CutFooter(stored string) (entries string, f Footer, err error) {
	if len(stored) < FooterWidth {
		return "", f, fmt.Errorf("%d bytes are too few for a sequence", len(stored))
	}
	entries, text := stored[:len(stored)-FooterWidth], stored[len(stored)-FooterWidth:]
	var fields [3]int64
	for i, width := range [...]int{versionWidth, countWidth, evictedWidth} {
		if fields[i] = parseDigits(text[:width], 16); fields[i] < 0 {
			return "", f, fmt.Errorf("corrupt footer: %q is not a hexadecimal number", text[:width])
		}
		text = text[width:]
	}
	f = Footer{Version: fields[0], Count: fields[1], Evicted: fields[2], Newest: text}
	if f.Evicted > int64(len(entries)) {
		return "", f, fmt.Errorf("corrupt footer: entries begin after %d bytes of %d", f.Evicted, len(entries))
	}
	return entries, f, nil
}

// ParseVersion reads the bytes VersionStart to VersionEnd of a stored sequence: 0 without any,
// -1 if they are no version.
func ParseVersion(text string) int64 { return parseDigits(text, 16) }

// ParseTime reads an encoded time: milliseconds since 1970, or -1 if it is none.
func ParseTime(text string) (ms int64) {
	if text == "" {
		return -1
	}
	return parseDigits(text, timeBase)
}

// DecodeSequence returns the version and the newest interactions, at most window, of a stored
// sequence. Their strings share the memory of stored. An empty string is an empty sequence.
func DecodeSequence(stored string, window int) (version int64, newest []Interaction, err error) {
	return decodeEntries(stored, window, &uuids{})
}

// DecodeWithoutIDs is DecodeSequence without event IDs, which take half of the time.
func DecodeWithoutIDs(stored string, window int) (version int64, newest []Interaction, err error) {
	return decodeEntries(stored, window, nil)
}

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

// DecodeItems returns the items of a stored sequence, oldest first.
func DecodeItems(stored string) ([]string, error) {
	_, count, entries, err := splitSequence(stored, MaxWindow)
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
		return fmt.Errorf("corrupt footer: %d entries expected, found %d", count, at)
	}
	return fmt.Errorf("corrupt entry %q", entry)
}

func tooManyEntries(count int) error {
	return fmt.Errorf("corrupt footer: more entries than the expected %d", count)
}

// splitSequence reads the footer. It returns the number of entries, at most window, and the text
// that should consist of them.
func splitSequence(stored string, window int) (version int64, count int, entries string, err error) {
	if stored == "" {
		return 0, 0, "", nil
	}
	all, f, err := CutFooter(stored)
	if err != nil {
		return 0, 0, "", err
	}
	version, count, entries = f.Version, int(f.Count), all[f.Evicted:]
	if count > 0 && !strings.HasPrefix(entries, recordSeparator) {
		return 0, 0, "", fmt.Errorf("corrupt footer: no entry begins after %d bytes", f.Evicted)
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

// fields are the fields of an entry.
type fields struct {
	id       string // as packID returns it
	ms       int64
	item     string
	kind     string // as stored
	credited string // model version
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
	f.kind, f.credited, _ = cutByte(rest, unitSeparator[0])
	return f, true
}

// cutByte is strings.Cut, small enough to be inlined.
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
	i.Item, i.Type, i.Time, i.Credited = f.item, f.kind, time.UnixMilli(f.ms).UTC(), f.credited
	if len(f.kind) == 1 {
		if long := longTypeOf[f.kind[0]]; long != "" {
			i.Type = long
		}
	}
	return true
}

// parseDigits parses a non-negative number of few digits. It returns -1 for any other text.
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

// packID shortens UUIDs, the most common event IDs, from 36 bytes to 23.
func packID(id string) string {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return id
	}
	bytes, err := hex.DecodeString(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:])
	if err != nil {
		return id
	}
	if text := formatUUID([16]byte(bytes)); string(text[:]) != id { // preserves upper case
		return id
	}
	return uuidMark + base64.RawURLEncoding.EncodeToString(bytes)
}

// uuids unpacks the event IDs of a sequence into memory that they share.
type uuids struct {
	left int // upper bound of the IDs still to unpack
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

// Forever is the latest time that can be encoded. As an erasure, it covers all events.
var Forever = time.UnixMilli(maxMilli).UTC()

// DecodeErasure returns the time up to which a user was erased: "MILLISECONDS VERSION", as
// forget.lua writes it.
func DecodeErasure(value string) (time.Time, error) {
	at, _, found := strings.Cut(value, " ")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !found {
		return time.Time{}, fmt.Errorf("%q is not a time and a version", value)
	}
	return time.UnixMilli(ms).UTC(), nil
}
