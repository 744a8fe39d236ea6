package playground_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/recs"
	"genrec/pkg/userstate"
	"genrec/serve"
	"genrec/serve/playground"
	"genrec/serve/servetest"
	"genrec/sessions"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// fake is a Reader and Sessions with fixed contents, or, if down, with errors.
type fake struct{ down bool }

var errDown = errors.New("no Redis")

func (f fake) Metadata(context.Context, []string) (map[string]recs.Metadata, error) {
	if f.down {
		return nil, errDown
	}
	return map[string]recs.Metadata{"m1": {Title: "Red kettle"}}, nil
}

func (f fake) Popular(context.Context) (recs.List, error) { return list("", "v1", 0, "p1", "p2"), nil }

func (f fake) Sequences(_ context.Context, users []string) ([]sessions.Sequence, error) {
	if f.down {
		return nil, errDown
	}
	return []sessions.Sequence{{User: users[0], Interactions: []userstate.Interaction{{Item: "old", Type: "view"}, {Item: "new", Type: "click"}}}}, nil
}

func (fake) ScanActive(_ context.Context, _ time.Time, fn func([]sessions.ActiveUser) error) error {
	return fn([]sessions.ActiveUser{{User: "ann"}, {User: "bob"}})
}

func list(user, version string, sequence int64, items ...string) recs.List {
	l := recs.List{User: user, ModelVersion: version, SequenceVersion: sequence, Source: recs.SourceModel}
	for _, item := range items {
		l.Items = append(l.Items, recs.ScoredItem{Item: item, Score: 1})
	}
	return l
}

var api = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	serve.WriteJSON(w, http.StatusOK, "the API: "+r.URL.Path)
})

// start serves a page as the program does, and returns its address.
func start(t *testing.T, cfg playground.Config) (*playground.Playground, string) {
	t.Helper()
	page, _, running := startAll(t, cfg)
	return page, running.URL
}

func startAll(t *testing.T, cfg playground.Config) (*playground.Playground, *embeddedtest.Service, servetest.Running) {
	t.Helper()
	if cfg.Reader == nil {
		cfg.Reader, cfg.Sessions = fake{}, fake{}
	}
	cfg.Logger = servetest.Quiet
	page := playground.New(cfg)
	around := func(http.Handler) http.Handler { return page.Around(true)(api) }
	return page, embeddedtest.Run(t, page.Run), servetest.Start(t, serve.Config{Middleware: around}, nil, nil)
}

// ask sends a request and returns the response and its body.
func ask(t *testing.T, method, url string, header ...string) (servetest.Response, string) {
	t.Helper()
	return servetest.Send(t, servetest.Request(t, method, url, "", header...))
}
