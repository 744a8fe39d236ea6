package model

import "testing"

// A model on a GPU takes memory there, and on a CPU none.
func TestMemoryOfTheDevice(t *testing.T) {
	ownThread(t)
	device := testDevice(t)
	dir := t.TempDir()
	if err := newBundle(t, cycles(30, rings, ringSize, 6), 1).Save(dir); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecommender(dir, device, DefaultRankerConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	allocated, reserved, err := device.Memory()
	if err != nil || (allocated > 0) != (device != CPU) || reserved < allocated {
		t.Errorf("on %v, a model takes %d bytes of %d reserved (%v)", device, allocated, reserved, err)
	}
}
