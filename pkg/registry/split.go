package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// VersionFor says which version serves a user. It depends on nothing but the shares and
// the user. When the shares change, a user moves only to a version that has grown in
// proportion to the one that they leave: weighted rendezvous hashing.
func VersionFor(shares []Share, user string) (version string) {
	if len(shares) == 1 {
		return shares[0].Version
	}
	best := math.Inf(-1)
	for _, s := range shares {
		score := float64(s.Percent) / -math.Log(draw(s.Version, user))
		if score > best || score == best && s.Version < version {
			version, best = s.Version, score
		}
	}
	return version
}

// draw is a number between 0 and 1, as if by chance, the same whenever it is asked for.
func draw(version, user string) float64 {
	h := sha256.New()
	h.Write([]byte(version))
	h.Write([]byte{0}) // in no version's name
	h.Write([]byte(user))
	bits := binary.BigEndian.Uint64(h.Sum(nil)) >> 11 // as many as a float64 holds
	return (float64(bits) + .5) / (1 << 53)
}
