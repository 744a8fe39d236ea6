package playground_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"genrec/serve/playground"
)

func TestOneTrainingAtATime(t *testing.T) {
	resume, trains := make(chan struct{}), make(chan struct{}, 1)
	var page *playground.Playground
	page, url := start(t, playground.Config{Train: func(context.Context) (string, error) {
		progress := page.Progress(silent{})
		progress.Start("finetune", 1000, 0)
		for range 1000 {
			progress.Step(2)
		}
		progress.Finish()
		trains <- struct{}{}
		<-resume
		return "v2 is the current version", nil
	}})
	stream := follow(t, url, "")
	if answer, body := ask(t, http.MethodPost, url+"/playground/training"); answer.StatusCode != http.StatusAccepted {
		t.Fatalf("POST training: got %d %s", answer.StatusCode, body)
	}
	<-trains
	if answer, body := ask(t, http.MethodPost, url+"/playground/training"); answer.StatusCode != http.StatusConflict || !strings.Contains(body, "only one runs at a time") {
		t.Errorf("a second training: got %d %s, want a refusal", answer.StatusCode, body)
	}
	scheduled := make(chan error, 1)
	go func() {
		scheduled <- page.Train(t.Context(), func(context.Context) (string, error) { return "", errors.New("the disk is full") })
	}()
	select {
	case <-scheduled:
		t.Error("a scheduled training did not wait for the running one")
	case <-time.After(50 * time.Millisecond):
	}
	close(resume)
	type state struct {
		Running, Failed bool
		Outcome         string
		Losses          []struct {
			Stage  string
			Points []struct{ X int }
		}
	}
	var s state
	for stream.next("training", &s); s.Running || s.Outcome == ""; stream.next("training", &s) {
		s.Outcome = ""
	}
	if s.Failed || s.Outcome != "v2 is the current version" || len(s.Losses) != 1 || len(s.Losses[0].Points) < 50 || len(s.Losses[0].Points) > 120 {
		t.Errorf("the final state of the training is %+v, want its outcome and a curve of at most 120 points", s)
	}
	if err := <-scheduled; err == nil {
		t.Error("the scheduled training did not return its error")
	}
	for s = (state{}); !s.Failed; {
		stream.next("training", &s)
	}
	if !strings.Contains(s.Outcome, "Training failed: the disk is full") {
		t.Errorf("the outcome on the page is %q, want the error", s.Outcome)
	}
}

type silent struct{}

func (silent) Start(string, int, int) {}
func (silent) Step(float64)           {}
func (silent) Finish()                {}
