package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// processors are the processes whose processor time is told, by what they are.
type processors struct {
	names  []string
	ids    []int
	before []time.Duration
}

func (p *processors) add(name string, id int) {
	p.names, p.ids = append(p.names, name), append(p.ids, id)
}

// begin is when the time begins that used tells.
func (p *processors) begin() (err error) {
	p.before = make([]time.Duration, len(p.ids))
	for i, id := range p.ids {
		if p.before[i], err = processorTime(id); err != nil {
			return err
		}
	}
	return nil
}

// used is what each has used since for one of a number of events.
func (p *processors) used(events int64) (string, error) {
	var each []string
	for i, id := range p.ids {
		now, err := processorTime(id)
		if err != nil {
			return "", err
		}
		each = append(each, fmt.Sprintf("%s %.1f", p.names[i], float64((now-p.before[i]).Microseconds())/float64(events)))
	}
	return strings.Join(each, ", "), nil
}

// processorTime is what all threads of a process have used.
func processorTime(id int) (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ, which Linux gives everyone as 100
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may have blanks
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", id, len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, err
}
