package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Share is the share of users that a version serves.
type Share struct {
	Version string `json:"version"` // such as v000001
	Percent int    `json:"percent"` // of the users, 1 to 100
}

// allUsers is the serving state in which one version serves all users.
func allUsers(version string) []Share { return []Share{{Version: version, Percent: 100}} }

// LargestShare returns the version with the largest share, the first of equal ones, or "".
func LargestShare(shares []Share) (version string) {
	percent := 0
	for _, s := range shares {
		if s.Percent > percent {
			version, percent = s.Version, s.Percent
		}
	}
	return version
}

// VersionFor returns the version that serves a user. It is a function of the shares and the user
// alone. When shares change, a user moves only to a version whose share has grown relative to that
// of the version they leave (weighted rendezvous hashing).
func VersionFor(shares []Share, user string) (version string) {
	if len(shares) == 1 {
		return shares[0].Version
	}
	best := math.Inf(-1)
	for _, s := range shares {
		score := float64(s.Percent) / -math.Log(uniform(s.Version, user))
		if score > best || score == best && s.Version < version {
			version, best = s.Version, score
		}
	}
	return version
}

// uniform hashes a version and a user to a number in (0, 1).
func uniform(version, user string) float64 {
	h := sha256.New()
	h.Write([]byte(version))
	h.Write([]byte{0}) // separator: not allowed in version names
	h.Write([]byte(user))
	bits := binary.BigEndian.Uint64(h.Sum(nil)) >> 11 // the 53 bits of a float64's mantissa
	return (float64(bits) + .5) / (1 << 53)
}

// FormatShares formats shares for ParseShares, separated by spaces.
func FormatShares(shares []Share) string {
	if len(shares) == 1 && shares[0].Percent == 100 {
		return shares[0].Version
	}
	parts := make([]string, len(shares))
	for i, s := range shares {
		parts[i] = fmt.Sprintf("%s:%d", s.Version, s.Percent)
	}
	return strings.Join(parts, " ")
}

// ParseShares parses and validates shares in the form VERSION:PERCENT, or a single VERSION.
func ParseShares(words []string) (shares []Share, err error) {
	for _, word := range words {
		version, percent, hasPercent := strings.Cut(word, ":")
		s := Share{Version: version, Percent: 100}
		if hasPercent {
			if s.Percent, err = strconv.Atoi(percent); err != nil {
				return nil, fmt.Errorf("%q is not VERSION:PERCENT", word)
			}
		}
		shares = append(shares, s)
	}
	return shares, validateShares(shares)
}

func validateShares(shares []Share) error {
	sum := 0
	seen := make(map[string]bool, len(shares))
	for _, s := range shares {
		switch {
		case !versionName.MatchString(s.Version):
			return fmt.Errorf("invalid version name %.64q", s.Version)
		case s.Percent < 1 || s.Percent > 100:
			return fmt.Errorf("invalid share of version %q: %d percent, want 1 to 100", s.Version, s.Percent)
		case seen[s.Version]:
			return fmt.Errorf("version %q has two shares", s.Version)
		}
		seen[s.Version] = true
		sum += s.Percent
	}
	if sum != 100 {
		return fmt.Errorf("shares must add up to 100 percent, not to %d", sum)
	}
	return nil
}
