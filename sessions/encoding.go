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
)

const maxMilli = 101559956668416 - 1 // 36^9, in the year 5188

// shortTypes are types that take one byte.
var (
	shortTypes = map[string]string{"view": "v", "click": "c", "add_to_cart": "a", "purchase": "p", "like": "l", "rate": "r"}
	longTypes  = map[string]string{"v": "view", "c": "click", "a": "add_to_cart", "p": "purchase", "l": "like", "r": "rate"}
)

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

// decodeSequence returns the version and at most the newest entries of a stored
// sequence.
func decodeSequence(stored string, window int) (version int64, newest []Interaction, err error) {
	if stored == "" {
		return 0, nil, nil
	}
	if len(stored) < footerWidth {
		return 0, nil, fmt.Errorf("%d bytes are too few for a sequence", len(stored))
	}
	entries, footer := stored[:len(stored)-footerWidth], stored[len(stored)-footerWidth:]
	var fields [3]int64
	for i, width := range []int{versionWidth, countWidth, skippedWidth} {
		if fields[i], err = strconv.ParseInt(footer[:width], 16, 64); err != nil || fields[i] < 0 {
			return 0, nil, fmt.Errorf("footer has %q where a number belongs", footer[:width])
		}
		footer = footer[width:]
	}
	version, count, skipped := fields[0], int(fields[1]), int(fields[2])
	if skipped > len(entries) || strings.Count(entries[skipped:], recordSeparator) != count {
		return 0, nil, fmt.Errorf("footer speaks of %d entries after %d bytes, which are not there", count, skipped)
	}
	entries = entries[skipped:]
	if count > 0 && !strings.HasPrefix(entries, recordSeparator) {
		return 0, nil, fmt.Errorf("%q is no beginning of an entry", entries[:1])
	}
	for ; count > window; count-- {
		entries = entries[1+strings.Index(entries[1:], recordSeparator):]
	}
	newest = make([]Interaction, 0, count)
	for entries != "" {
		entry := entries
		if next := strings.Index(entries[1:], recordSeparator); next >= 0 {
			entry = entries[:1+next]
		}
		entries = entries[len(entry):]
		interaction, ok := decodeEntry(entry)
		if !ok {
			return 0, nil, fmt.Errorf("%q is no entry of a sequence", entry)
		}
		newest = append(newest, interaction)
	}
	return version, newest, nil
}

func decodeEntry(entry string) (Interaction, bool) {
	entry, marked := strings.CutPrefix(entry, recordSeparator)
	id, rest, hasID := strings.Cut(entry, unitSeparator)
	if !marked || !hasID || len(rest) < timeWidth {
		return Interaction{}, false
	}
	ms, err := strconv.ParseUint(rest[:timeWidth], timeBase, 63)
	item, kind, hasItem := strings.Cut(rest[timeWidth:], unitSeparator)
	id, whole := unpackID(id)
	if err != nil || !hasItem || !whole {
		return Interaction{}, false
	}
	kind, credited, _ := strings.Cut(kind, unitSeparator)
	if long, short := longTypes[kind]; short {
		kind = long
	}
	return Interaction{EventID: id, Item: item, Type: kind, Time: time.UnixMilli(int64(ms)).UTC(), Credited: credited}, true
}

// packID shortens UUIDs, which most event ids are, from 36 bytes to 23.
func packID(id string) string {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return id
	}
	bytes, err := hex.DecodeString(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:])
	if err != nil || formatUUID(bytes) != id { // upper case must stay
		return id
	}
	return uuidMark + base64.RawURLEncoding.EncodeToString(bytes)
}

func unpackID(packed string) (id string, ok bool) {
	packed, isUUID := strings.CutPrefix(packed, uuidMark)
	if !isUUID {
		return packed, true
	}
	bytes, err := base64.RawURLEncoding.DecodeString(packed)
	if err != nil || len(bytes) != 16 {
		return "", false
	}
	return formatUUID(bytes), true
}

func formatUUID(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
