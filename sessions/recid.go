package sessions

import (
	"crypto/rand"
	"regexp"
	"strings"
)

// NewRecID returns an id of recommendations that is unique without coordination. It names
// the model version that made them, so that an event that carries the id says whose
// recommendations it is an answer to, however long they have been replaced.
func NewRecID(version string) string { return rand.Text() + "." + version }

// VersionOf returns the model version that a rec_id names, "" if it names none.
func VersionOf(recID string) string {
	_, version, _ := strings.Cut(recID, ".")
	if !versionName.MatchString(version) {
		return ""
	}
	return version
}

// versionName bounds what a rec_id from outside can put into a sequence.
var versionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
