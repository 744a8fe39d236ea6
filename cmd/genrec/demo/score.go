package demo

// score is the share of events whose item stood in the list before the event.
type score struct{ hits, popularHits, events int }

func (s score) rate() float64        { return share(s.hits, s.events) }
func (s score) popularRate() float64 { return share(s.popularHits, s.events) }

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
