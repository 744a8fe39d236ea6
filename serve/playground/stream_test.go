package playground_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"genrec/inference"
	"genrec/pkg/recs"
	"genrec/serve/playground"
	"genrec/serve/servetest"
)

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
