package playground_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"genrec/inference"
	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/recs"
	"genrec/serve"
	"genrec/serve/playground"
	"genrec/serve/servetest"
	"genrec/sessions"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// fake is a Redis with a few things in it, or none (away).
type fake struct{ away bool }

var errAway = errors.New("no Redis")

func (f fake) About(context.Context, []string) (map[string]recs.About, error) {
	if f.away {
		return nil, errAway
	}
	return map[string]recs.About{"m1": {Title: "Red kettle"}}, nil
}

func (f fake) Popular(context.Context) (recs.List, error) { return list("", "v1", 0, "p1", "p2"), nil }

func (f fake) Sequences(_ context.Context, users []string) ([]sessions.Sequence, error) {
	if f.away {
		return nil, errAway
	}
	return []sessions.Sequence{{User: users[0], Interactions: []sessions.Interaction{{Item: "old", Type: "view"}, {Item: "new", Type: "click"}}}}, nil
}

func (fake) ScanActive(_ context.Context, _ time.Time, fn func([]sessions.Active) error) error {
	return fn([]sessions.Active{{User: "ann"}, {User: "bob"}})
}

func list(user, version string, sequence int64, items ...string) recs.List {
	l := recs.List{User: user, ModelVersion: version, SequenceVersion: sequence, Source: recs.SourceModel}
	for _, item := range items {
		l.Items = append(l.Items, recs.ScoredItem{Item: item, Score: 1})
	}
	return l
}

var api = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve.Answer(w, http.StatusOK, "the API: "+r.URL.Path) })

// start serves a page of its own as the program does, and returns its address.
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
	return page, embeddedtest.Run(t, page.Run), servetest.Start(t, serve.Config{Around: around}, nil, nil)
}

// ask returns an answer and its body.
func ask(t *testing.T, method, url string, header ...string) (servetest.Reply, string) {
	t.Helper()
	return servetest.Ask(t, servetest.Request(t, method, url, "", header...))
}

func TestPageNeedsNothingOfOthers(t *testing.T) {
	_, url := start(t, playground.Config{})
	answer, html := ask(t, http.MethodGet, url+"/")
	if policy := answer.Header.Get("Content-Security-Policy"); answer.StatusCode != http.StatusOK || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the page is answered %d with the policy %q, want a strict one", answer.StatusCode, policy)
	}
	texts := map[string]string{"/": html}
	for _, match := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(html, -1) {
		answer, text := ask(t, http.MethodGet, url+match[1])
		if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s, which the page names, is answered %d %v", match[1], answer.StatusCode, answer.Header)
		}
		texts[match[1]] = text
	}
	for path, text := range texts {
		for _, outside := range regexp.MustCompile(`https?://[^"' )]*`).FindAllString(text, -1) {
			if !strings.HasPrefix(outside, "http://www.w3.org/") { // names of XML
				t.Errorf("%s names %s: all must come from this server", path, outside)
			}
		}
		if regexp.MustCompile(`<script>|\son[a-z]+="|style="`).MatchString(text) {
			t.Errorf("%s has inline code or style, which the policy forbids", path)
		}
	}
	if _, body := ask(t, http.MethodGet, url+"/v1/users/ann/recommendations"); !strings.Contains(body, "the API: /v1/users/ann/recommendations") {
		t.Errorf("the API beside the page answers %q", body)
	}
}

func TestOtherSitesAreKeptOut(t *testing.T) {
	_, url := start(t, playground.Config{Train: func(context.Context) (string, error) { return "", errors.New("never") }})
	for _, c := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"another site's page trains", http.MethodPost, "/playground/training", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"another port's page trains", http.MethodPost, "/playground/training", []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"an old browser says where it comes from", http.MethodPost, "/playground/training", []string{"Origin", "http://evil.example"}, http.StatusForbidden},
		{"another site's page sends events", http.MethodPost, "/v1/events", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"a name that leads here", http.MethodGet, "/", []string{"Host", "evil.example"}, http.StatusMisdirectedRequest},
		{"a name that leads here reads", http.MethodGet, "/v1/users/ann/recommendations", []string{"Host", "evil.example:8090"}, http.StatusMisdirectedRequest},
		{"the page itself", http.MethodPost, "/v1/events", []string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		{"localhost", http.MethodGet, "/", []string{"Host", "localhost:1"}, http.StatusOK},
		{"IPv6", http.MethodGet, "/", []string{"Host", "[::1]:8090"}, http.StatusOK},
		{"curl", http.MethodPost, "/v1/events", nil, http.StatusOK},
	} {
		if answer, body := ask(t, c.method, url+c.path, c.header...); answer.StatusCode != c.want {
			t.Errorf("%s: answered %d %s, want %d", c.name, answer.StatusCode, body, c.want)
		}
	}
}

// events reads server-sent events.
type events struct {
	t    *testing.T
	text *bufio.Scanner
}

func follow(t *testing.T, url, user string) events {
	t.Helper()
	answer, err := http.DefaultClient.Do(servetest.Request(t, http.MethodGet, url+"/playground/stream?user="+user, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("the stream is answered %d as %s", answer.StatusCode, kind)
	}
	text := bufio.NewScanner(answer.Body)
	text.Buffer(nil, 1<<20)
	return events{t, text}
}

// next reads the next event of a kind, or else ends the test.
func (e events) next(kind string, into any) {
	e.t.Helper()
	for found := false; e.text.Scan(); {
		line := e.text.Text()
		if data, ok := strings.CutPrefix(line, "data: "); ok && found {
			if err := json.Unmarshal([]byte(data), into); err != nil {
				e.t.Fatal(err)
			}
			return
		}
		found = line == "event: "+kind
	}
	e.t.Fatalf("the stream ended before a %s: %v", kind, e.text.Err())
}

type row struct {
	User  string
	Items []string
	Hits  int
	Took  float64 `json:"took_ms"`
}

func written(user string, before recs.List, sequence int64, items ...string) inference.Written {
	now := time.Now()
	return inference.Written{
		Recommendations: list(user, "v2", sequence, "m1", "m2"), Replaced: before, Items: items,
		ProducedAt: []time.Time{now.Add(-90 * time.Millisecond), now.Add(-40 * time.Millisecond)}, WrittenAt: now,
	}
}

func TestStream(t *testing.T) {
	page, url := start(t, playground.Config{})
	var hello struct{ People, Shelf []string }
	stream := follow(t, url, "ann")
	stream.next("hello", &hello)
	if len(hello.People) != 2 || len(hello.Shelf) != 2 {
		t.Errorf("the page begins with %+v, want the active users and the popular items", hello)
	}
	page.Say("a step")
	var status string
	if stream.next("status", &status); status != "a step" {
		t.Errorf("the status is %q", status)
	}
	page.Written(written("ann", recs.List{}, 1, "p9"))                                                                                                  // had no list
	page.Written(written("ann", list("ann", "v1", 1, "x", "m7"), 3, "p9", "m7", "p1"))                                                                  // a hit and a popular one
	page.Written(written("ann", list("ann", "v1", 3, "x"), 4, "p9", "m7", "p1", "x"))                                                                   // a hit
	page.Written(inference.Written{Recommendations: list("ann", "v3", 4), Replaced: list("ann", "v2", 4), Items: []string{"x"}, WrittenAt: time.Now()}) // another model
	var r row
	for _, want := range []row{{Items: []string{"p9"}}, {Items: []string{"m7", "p1"}, Hits: 1}, {Items: []string{"x"}, Hits: 1}, {Items: []string{}}} {
		r = row{}
		stream.next("row", &r)
		if r.User != "ann" || strings.Join(r.Items, " ") != strings.Join(want.Items, " ") || r.Hits != want.Hits || len(want.Items) > 0 && (r.Took < 39 || r.Took > 60) {
			t.Errorf("got the row %+v, want %+v, 40 ms after its newest event", r, want)
		}
	}
	page.Written(written("bob", list("bob", "v1", 1, "x", "m7"), 3, "p9", "m7", "p1"))
	page.Written(inference.Written{Recommendations: list("bob", "v3", 3), Replaced: list("bob", "v2", 3), Items: []string{"p1"}, WrittenAt: time.Now()})
	var figures struct {
		Version     string
		Rated, Hits int
		PopularHits int     `json:"popular_hits"`
		P50         float64 `json:"fresh_p50_ms"`
	}
	for figures.Rated == 0 {
		stream.next("figures", &figures)
	}
	if figures.Version != "v3" || figures.Rated != 2 || figures.Hits != 1 || figures.PopularHits != 1 || figures.P50 < 39 {
		t.Errorf("the figures are %+v, want 1 hit of bob's 2 events, 1 of the popular items, by v3: ann is played", figures)
	}
}

// unread opens a stream of ann's of which nothing is read, and for which the system keeps little.
func unread(t *testing.T, url string) io.Reader {
	t.Helper()
	const buffer = 64 << 10
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(buffer)
		}
		return conn, err
	}}
	answer, err := transport.RoundTrip(servetest.Request(t, http.MethodGet, url+"/playground/stream?user=ann", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer.Body
}

// Who has another user sees a few of the rows. Who does not read is dropped: nobody waits,
// little is kept, and the server can end.
func TestSlowReadersAreDropped(t *testing.T) {
	page, life, running := startAll(t, playground.Config{})
	slow := unread(t, running.URL)
	unread(t, running.URL) // to the end
	quick := follow(t, running.URL, "bob")
	// More than the system keeps of what is sent, so that the server has to wait for its writes.
	const lists, bytes, most = 600, 256 << 10, 64 << 20
	item, began, told := strings.Repeat("long", bytes/4), time.Now(), make(chan struct{})
	go func() {
		defer close(told)
		for range lists {
			page.Written(written("ann", recs.List{}, 1, item))
		}
	}()
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Fatalf("%d lists take more than 20 s: a page that does not read holds up the worker", lists)
	}
	if got, _ := io.Copy(io.Discard, io.LimitReader(slow, most)); got == most {
		t.Errorf("the slow page was still sent %d bytes: they were kept for it", got)
	}
	page.Written(written("bob", recs.List{}, 1, "b1"))
	others := 0
	for {
		var r row
		if quick.next("row", &r); r.User == "bob" {
			break
		}
		others++
	}
	if others > 6*int(time.Since(began)/time.Second+2) {
		t.Errorf("a page was sent %d rows of others in %v: they are to be few", others, time.Since(began))
	}
	life.Stop()
	running.Service.Stop()
}

func TestOneTrainingAtATime(t *testing.T) {
	goOn, trains := make(chan struct{}), make(chan struct{}, 1)
	var page *playground.Playground
	page, url := start(t, playground.Config{Train: func(context.Context) (string, error) {
		progress := page.Progress(silent{})
		progress.Start("finetune", 1000, 0)
		for range 1000 {
			progress.Step(2)
		}
		progress.Finish()
		trains <- struct{}{}
		<-goOn
		return "v2 is the current version", nil
	}})
	stream := follow(t, url, "")
	if answer, body := ask(t, http.MethodPost, url+"/playground/training"); answer.StatusCode != http.StatusAccepted {
		t.Fatalf("a training is answered %d %s", answer.StatusCode, body)
	}
	<-trains
	if answer, body := ask(t, http.MethodPost, url+"/playground/training"); answer.StatusCode != http.StatusConflict || !strings.Contains(body, "one at a time") {
		t.Errorf("a second training is answered %d %s, want words against it", answer.StatusCode, body)
	}
	scheduled := make(chan error, 1)
	go func() {
		scheduled <- page.Train(t.Context(), func(context.Context) (string, error) { return "", errors.New("the disk is full") })
	}()
	select {
	case <-scheduled:
		t.Error("a scheduled training did not wait for the one that runs")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
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
		t.Errorf("the training ends as %+v, want its outcome and a curve of at most 120 points", s)
	}
	if err := <-scheduled; err == nil {
		t.Error("the scheduled training did not return its error")
	}
	for s = (state{}); !s.Failed; {
		stream.next("training", &s)
	}
	if !strings.Contains(s.Outcome, "No model was made: the disk is full") {
		t.Errorf("the page is told %q, want why it failed", s.Outcome)
	}
}

type silent struct{}

func (silent) Start(string, int, int) {}
func (silent) Step(float64)           {}
func (silent) Finish()                {}

func TestAnswersInWords(t *testing.T) {
	_, url := start(t, playground.Config{})
	_, away := start(t, playground.Config{Reader: fake{away: true}, Sessions: fake{away: true}})
	for _, c := range []struct {
		url, method string
		status      int
		want        string
	}{
		{url + "/playground/users/ann", http.MethodGet, http.StatusOK, `{"history":[{"item":"new","type":"click","at":"0001-01-01T00:00:00Z"},{"item":"old"`},
		{url + "/playground/items?id=m1&id=m2", http.MethodGet, http.StatusOK, `{"m1":{"title":"Red kettle"}}`},
		{url + "/playground/items?" + strings.Repeat("id=x&", 101), http.MethodGet, http.StatusBadRequest, "at most 100"},
		{url + "/playground/users/%7Dx", http.MethodGet, http.StatusBadRequest, "user"},
		{url + "/playground/stream?user=%7Dx", http.MethodGet, http.StatusBadRequest, "user"},
		{url + "/playground/training", http.MethodPost, http.StatusNotImplemented, "does not train"},
		{url + "/playground/nothing", http.MethodGet, http.StatusNotFound, "not found"},
		{away + "/playground/users/ann", http.MethodGet, http.StatusServiceUnavailable, "does Redis run?"},
		{away + "/playground/items?id=m1", http.MethodGet, http.StatusServiceUnavailable, "does Redis run?"},
	} {
		if answer, body := ask(t, c.method, c.url); answer.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: answered %d %s, want %d with %q", c.method, c.url, answer.StatusCode, body, c.status, c.want)
		}
	}
}
