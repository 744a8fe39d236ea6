package stream

import (
	"fmt"
	"strings"
	"time"

	"genrec/test/harness"
)

// processors measures the CPU time of processes, by name; several may share a name.
type processors struct {
	names  []string
	ids    []int
	before []time.Duration
	began  time.Time
}

func (p *processors) add(name string, id int) {
	p.names, p.ids = append(p.names, name), append(p.ids, id)
}

// begin starts the measurement that used and cores report.
func (p *processors) begin() (err error) {
	p.began, p.before = time.Now(), make([]time.Duration, len(p.ids))
	for i, id := range p.ids {
		if p.before[i], err = harness.CPUTime(id); err != nil {
			return err
		}
	}
	return nil
}

// used returns the CPU time of each process since begin, in µs an event.
func (p *processors) used(events int64) (string, error) {
	var each []string
	for i, id := range p.ids {
		now, err := harness.CPUTime(id)
		if err != nil {
			return "", err
		}
		each = append(each, fmt.Sprintf("%s %.1f", p.names[i], float64((now-p.before[i]).Microseconds())/float64(events)))
	}
	return strings.Join(each, ", "), nil
}

// cores returns how many CPU cores the processes of each name have used since begin.
func (p *processors) cores() (map[string]float64, error) {
	wall := time.Since(p.began).Seconds()
	cores := make(map[string]float64)
	for i, id := range p.ids {
		now, err := harness.CPUTime(id)
		if err != nil {
			return nil, err
		}
		cores[p.names[i]] += (now - p.before[i]).Seconds() / wall
	}
	return cores, nil
}
