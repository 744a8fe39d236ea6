package retrain

// Progress shows how far a run is. Calls come from one goroutine.
type Progress interface {
	// Start begins a stage of a number of steps, some of which a run that was
	// interrupted has done before.
	Start(stage string, steps, done int)
	// Step ends a step; loss is in nats per token, 0 in stages without one.
	Step(loss float64)
	// Finish ends the stage, early when the run fails.
	Finish()
}

type silent struct{}

func (silent) Start(string, int, int) {}
func (silent) Step(float64)           {}
func (silent) Finish()                {}
