package main

import (
	"fmt"
	"strings"
	"time"

	"genrec/cmd/internal/process"
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
		if p.before[i], err = process.Time(id); err != nil {
			return err
		}
	}
	return nil
}

// used is what each has used since for one of a number of events.
func (p *processors) used(events int64) (string, error) {
	var each []string
	for i, id := range p.ids {
		now, err := process.Time(id)
		if err != nil {
			return "", err
		}
		each = append(each, fmt.Sprintf("%s %.1f", p.names[i], float64((now-p.before[i]).Microseconds())/float64(events)))
	}
	return strings.Join(each, ", "), nil
}
