package userstate

import "testing"

func TestHashSlots(t *testing.T) {
	for text, want := range map[string]int{"123456789": 0x31c3, "foo": 12182, "": 0} {
		if got := hashSlot(text); got != want%HashSlots {
			t.Errorf("the slot of %q is %d, want %d", text, got, want%HashSlots)
		}
	}
	for slot := range HashSlots {
		if tag := HashTag(slot); hashSlot(tag) != slot || tag == "" {
			t.Fatalf("the tag of slot %d is %q, of slot %d", slot, tag, hashSlot(tag))
		}
	}
	if hashSlot("ann}x") != hashSlot("ann") {
		t.Error("a hash tag ends at the first brace")
	}
}
