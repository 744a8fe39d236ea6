package userstate

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/encoding/json"
)

// Values of List.Source.
const (
	SourceModel   = "model"   // generated from the user's sequence
	SourcePopular = "popular" // the fallback, the same for every user
)

// ScoredItem is a recommended item.
type ScoredItem struct {
	Item  string  `json:"item_id"` // ID of the item
	Score float64 `json:"score"`   // higher is better; comparable within one list only
}

// List is a user's recommendation list. Its JSON form is the value of Keys.List and Keys.Popular
// and a public contract.
type List struct {
	RecID           string       `json:"rec_id"`            // unique, see NewRecID
	User            string       `json:"user_id,omitempty"` // empty for the fallback
	ModelVersion    string       `json:"model_version"`     // version of the model that generated it
	SequenceVersion int64        `json:"sequence_version"`  // version of the sequence it was generated from
	GeneratedAt     time.Time    `json:"generated_at"`      // RFC 3339, stored in UTC with millisecond precision
	Source          string       `json:"source"`            // SourceModel or SourcePopular
	Items           []ScoredItem `json:"items"`             // best first
}

// Encode returns the JSON form. It fails for scores that are not finite.
func (l List) Encode() ([]byte, error) {
	l.GeneratedAt = l.GeneratedAt.UTC().Truncate(time.Millisecond)
	if l.Items == nil {
		l.Items = []ScoredItem{} // not null
	}
	value, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode recommendations of user %q: %w", l.User, err)
	}
	return value, nil
}

// DecodeList reads the JSON form of a List. value is copied.
func DecodeList(value []byte) (List, error) { return decodeList(bytes.Clone(value)) }

// DecodeListString reads the JSON form of a List.
func DecodeListString(value string) (List, error) { return decodeList([]byte(value)) }

// decodeList returns a list whose strings share the memory of value: one allocation instead of
// one per item.
func decodeList(value []byte) (l List, err error) {
	rest, err := json.Parse(value, &l, json.ZeroCopy)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow the JSON text", len(rest))
	}
	return l, err
}

// ListHeaderBytes is how much of a stored list ParseListHeader needs, for IDs of usual lengths.
const ListHeaderBytes = 256

// ParseListHeader reads the first fields of a stored list without decoding the JSON. It
// returns false if it needs more than the given beginning, and for lists that Encode has not
// written or that contain escapes in these fields: decode those in full.
func ParseListHeader(beginning string) (recID string, sequenceVersion int64, ok bool) {
	rest, ok := strings.CutPrefix(beginning, listPrefix)
	if !ok {
		return "", 0, false
	}
	var values [3]string
	for i, next := range [...]string{`","user_id":"`, `","model_version":"`, `","sequence_version":`} {
		if values[i], rest, ok = strings.Cut(rest, next); !ok || strings.ContainsAny(values[i], `"\`) {
			return "", 0, false
		}
	}
	digits, _, ok := strings.Cut(rest, ",")
	if !ok {
		return "", 0, false
	}
	sequenceVersion, err := strconv.ParseInt(digits, 10, 64)
	return values[0], sequenceVersion, err == nil && sequenceVersion >= 0
}

// RecIDBytes is how much of a stored list ParseRecID needs.
const RecIDBytes = 128

// ParseRecID reads the rec_id of a stored list from its first bytes. It is empty where the list
// begins with anything else.
func ParseRecID(beginning string) string {
	recID, _ := strings.CutPrefix(beginning, listPrefix)
	recID, _, _ = strings.Cut(recID, `"`)
	return recID
}

const listPrefix = `{"rec_id":"` // the first field of a List

// NewRecID returns a rec_id that is unique without coordination and contains the version of
// the model. An event that carries it can thus be credited to that version, even long after the
// list was replaced.
func NewRecID(version string) string { return rand.Text() + "." + version }

// VersionOf returns the model version that a rec_id contains, or "" if it contains none.
func VersionOf(recID string) string {
	_, version, _ := strings.Cut(recID, ".")
	if !versionName.MatchString(version) {
		return ""
	}
	return version
}

// versionName limits what a rec_id from outside can put into a sequence.
var versionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// MaxSimilar is the maximum number of similar items stored per item.
const MaxSimilar = 20

// SimilarItems are the items that co-occur most with an item, best first. Their JSON form is the
// value of the item's field in the hash Keys.Similar.
type SimilarItems []ScoredItem

// Encode returns the JSON form.
func (s SimilarItems) Encode() ([]byte, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode similar items: %w", err)
	}
	return value, nil
}

// DecodeSimilar reads the JSON form of SimilarItems.
func DecodeSimilar(value []byte) (s SimilarItems, err error) {
	err = json.Unmarshal(value, &s)
	return s, err
}
