// Package userstate defines what GenRec keeps in Redis: the names of all keys and the encoding
// of their values. Package sessions writes them, pkg/recs and sessions read them, and
// docs/REDIS.md documents the public ones for other languages.
//
// With the default prefix the keys are
//
//	genrec:seq:{USER}              string   the user's sequence, see EncodeEvent
//	genrec:recs:{USER}             string   the user's recommendation list, JSON, see List
//	genrec:erased:HASH{SLOT}       string   erasure of a user: when, and the last sequence version
//	genrec:popular                 string   the list for users without their own, JSON, see List
//	genrec:near                    hash     item → its similar items, JSON, see SimilarItems
//	genrec:unavailable             set      items out of stock, written by the shop
//	genrec:blocked                 set      items never to recommend, written by the shop
//	genrec:categories              hash     item → categories separated by "|", written by the shop
//	genrec:titles                  hash     item → title, written by the shop
//	genrec:online:{VERSION}:DAY    hash     hit counts of a model version: interactions and hits
//	genrec:online:{VERSION}:DAY:users       HyperLogLog of the users behind these counts
//	genrec:renewed                 string   the models for which the background refresh is complete
//	genrec:lease:NAME              string   token of the process that holds a lease
//	genrec:format                  string   the Format of sequences and erasures
//
// The keys of a user share a hash tag, so a Redis Cluster keeps them in one slot and one command,
// transaction or script may use them together. The key of an erasure is in the same slot, but
// contains a hash in place of the user's ID.
//
// A sequence is a single string rather than a list or a sorted set: it takes a fraction of the
// memory, one GET reads it, and a new event is appended by SETRANGE. The Lua scripts of package
// sessions implement the same encoding; both change together with Format.
package userstate

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"
)

// DefaultPrefix is the default of Keys.Prefix.
const DefaultPrefix = "genrec"

// Keys returns the names of the keys in Redis.
type Keys struct {
	Prefix string // of all keys; without braces, which would become the hash tag
}

// Sequence is the key of a user's sequence.
func (k Keys) Sequence(user string) string { return k.Prefix + ":seq:{" + user + "}" }

func (k Keys) sequencePrefix() string { return k.Prefix + ":seq:{" }

// SequencePattern is the pattern for SCAN that matches the keys of all sequences.
func (k Keys) SequencePattern() string { return globEscaper.Replace(k.sequencePrefix()) + "*" }

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// User returns the user of a sequence's key; it is the inverse of Sequence.
func (k Keys) User(sequenceKey string) string {
	return strings.TrimSuffix(strings.TrimPrefix(sequenceKey, k.sequencePrefix()), "}")
}

// List is the key of a user's recommendation list.
func (k Keys) List(user string) string { return k.Prefix + ":recs:{" + user + "}" }

// Erasure is the key of a user's erasure. It contains a hash of the user's ID, so that events of
// an erased user are recognized without storing who the user was.
func (k Keys) Erasure(user string) string {
	sum := sha256.Sum256([]byte(user))
	return k.Prefix + ":erased:" + base64.RawURLEncoding.EncodeToString(sum[:16]) + "{" + HashTag(hashSlot(user)) + "}"
}

// Popular is the key of the list for users without their own.
func (k Keys) Popular() string { return k.Prefix + ":popular" }

// Similar is the key of the hash from items to their similar items.
func (k Keys) Similar() string { return k.Prefix + ":near" }

// Unavailable is the key of the set of items that are out of stock. The shop writes it.
func (k Keys) Unavailable() string { return k.Prefix + ":unavailable" }

// Blocked is the key of the set of items that are never recommended. The shop writes it.
func (k Keys) Blocked() string { return k.Prefix + ":blocked" }

// Categories is the key of the hash from items to their categories, separated by "|". The shop
// writes it.
func (k Keys) Categories() string { return k.Prefix + ":categories" }

// Titles is the key of the hash from items to their titles. The shop writes it.
func (k Keys) Titles() string { return k.Prefix + ":titles" }

// Hits returns the keys of a model version's hit counts on a day (YYYY-MM-DD): the hash of
// counts and the HyperLogLog of users. Those of one version share a slot, so that PFCOUNT can
// merge days.
func (k Keys) Hits(version, day string) (counts, users string) {
	counts = k.Prefix + ":online:{" + version + "}:" + day
	return counts, counts + ":users"
}

// Refreshed is the key of the models for which the background refresh is complete.
func (k Keys) Refreshed() string { return k.Prefix + ":renewed" }

// Lease is the key of the lease with that name.
func (k Keys) Lease(name string) string { return k.Prefix + ":lease:" + name }

// Format is the key of the number of the format.
func (k Keys) Format() string { return k.Prefix + ":format" }

// HashSlots is the number of hash slots of a Redis Cluster.
const HashSlots = 16384

// HashTag returns a hash tag for a slot, always the same one.
func HashTag(slot int) string { return hashTags()[slot] }

var hashTags = sync.OnceValue(func() []string {
	tags := make([]string, HashSlots)
	for n, missing := 0, HashSlots; missing > 0; n++ {
		tag := strconv.Itoa(n)
		if slot := hashSlot(tag); tags[slot] == "" {
			tags[slot] = tag
			missing--
		}
	}
	return tags
})

// hashSlot returns the slot of keys with the hash tag {user}. A tag ends at the first closing
// brace.
func hashSlot(user string) int {
	tag, _, _ := strings.Cut(user, "}")
	return int(crc16(tag)) % HashSlots
}

// crc16 is the checksum that Redis Cluster uses: CRC-16/XMODEM.
func crc16(text string) (sum uint16) {
	for i := range len(text) {
		sum ^= uint16(text[i]) << 8
		for range 8 {
			carry := sum&0x8000 != 0
			sum <<= 1
			if carry {
				sum ^= 0x1021
			}
		}
	}
	return sum
}
