package sessions

import (
	"strconv"
	"strings"
	"sync"
)

const slots = 16384 // of a Redis Cluster

// slotOf returns the hash slot of keys with the tag {user}.
func slotOf(user string) int {
	tag, _, _ := strings.Cut(user, "}")
	return int(crc16(tag)) % slots
}

// slotTag returns a text in a hash slot, always the same one.
func slotTag(slot int) string { return slotTags()[slot] }

var slotTags = sync.OnceValue(func() []string {
	tags := make([]string, slots)
	for n, missing := 0, slots; missing > 0; n++ {
		text := strconv.Itoa(n)
		if slot := slotOf(text); tags[slot] == "" {
			tags[slot] = text
			missing--
		}
	}
	return tags
})

// crc16 is the checksum of Redis Cluster, CRC-16/XMODEM.
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
