package stream

import (
	"os"
	"strings"
	"testing"
	"time"

	"genrec/test/harness"
)

func TestEventsAreDistinctAndCoverAllUsers(t *testing.T) {
	r := &environment{settings: settings{users: 1000}}
	ids, users := make(map[string]bool), make(map[string]int)
	const each = 5
	for n := range each * r.users {
		e := r.nthEvent(n, time.Now())
		ids[e.ID] = true
		users[e.User]++
	}
	if len(ids) != each*r.users || len(users) != r.users {
		t.Fatalf("%d events have %d ids and %d users, want %d users", each*r.users, len(ids), len(users), r.users)
	}
	for user, n := range users {
		if n != each {
			t.Errorf("%s has %d events, want %d", user, n, each)
		}
	}
}

func TestCPUTimePerEvent(t *testing.T) {
	var p cpuUsage
	p.add("this", os.Getpid())
	if err := p.begin(); err != nil {
		t.Fatal(err)
	}
	before := p.before[0]
	for now := before; now < before+50*time.Millisecond; { // use CPU time
		var err error
		if now, err = harness.CPUTime(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	text, err := p.perEvent(1)
	if err != nil || !strings.HasPrefix(text, "this ") || text == "this 0.0" {
		t.Errorf("after 50 ms of CPU time, got %q (error %v)", text, err)
	}
	if _, err := harness.CPUTime(-1); err == nil {
		t.Error("want an error for a process that does not exist")
	}
}
