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

	"genrec/pkg/recs"
	"genrec/serve/playground"
	"genrec/serve/servetest"
)

// eventStream reads server-sent events.
type eventStream struct {
	t    *testing.T
	text *bufio.Scanner
}

func follow(t *testing.T, url, user string) eventStream {
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
	return eventStream{t, text}
}

// next decodes the next event of a kind; it ends the test if there is none.
func (e eventStream) next(kind string, into any) {
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

func written(user string, replaced recs.List, sequence int64, items ...string) playground.Written {
	now := time.Now()
	return playground.Written{
		Recommendations: list(user, "v2", sequence, "m1", "m2"), Replaced: replaced, Items: items,
		ProducedAt: []time.Time{now.Add(-90 * time.Millisecond), now.Add(-40 * time.Millisecond)}, WrittenAt: now,
	}
}

func TestStream(t *testing.T) {
	page, url := start(t, playground.Config{})
	var hello struct{ People, Shelf []string }
	stream := follow(t, url, "ann")
	stream.next("hello", &hello)
	if len(hello.People) != 2 || len(hello.Shelf) != 2 {
		t.Errorf("hello is %+v, want the active users and the popular items", hello)
	}
	page.SetStatus("a step")
	var status string
	if stream.next("status", &status); status != "a step" {
		t.Errorf("the status is %q", status)
	}
	page.Written(written("ann", recs.List{}, 1, "p9"))                                                                                                   // no list before
	page.Written(written("ann", list("ann", "v1", 1, "x", "m7"), 3, "p9", "m7", "p1"))                                                                   // a hit, and a popular item
	page.Written(written("ann", list("ann", "v1", 3, "x"), 4, "p9", "m7", "p1", "x"))                                                                    // a hit
	page.Written(playground.Written{Recommendations: list("ann", "v3", 4), Replaced: list("ann", "v2", 4), Items: []string{"x"}, WrittenAt: time.Now()}) // after a model swap
	var r row
	for _, want := range []row{{Items: []string{"p9"}}, {Items: []string{"m7", "p1"}, Hits: 1}, {Items: []string{"x"}, Hits: 1}, {Items: []string{}}} {
		r = row{}
		stream.next("row", &r)
		if r.User != "ann" || strings.Join(r.Items, " ") != strings.Join(want.Items, " ") || r.Hits != want.Hits || len(want.Items) > 0 && (r.Took < 39 || r.Took > 60) {
			t.Errorf("got row %+v, want %+v, written 40 ms after its newest event", r, want)
		}
	}
	page.Written(written("bob", list("bob", "v1", 1, "x", "m7"), 3, "p9", "m7", "p1"))
	page.Written(playground.Written{Recommendations: list("bob", "v3", 3), Replaced: list("bob", "v2", 3), Items: []string{"p1"}, WrittenAt: time.Now()})
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
		t.Errorf("the figures are %+v, want 1 hit among bob's 2 events, 1 of the popular items, by v3; ann has an open page", figures)
	}
}

// unread opens a stream of ann that is not read, with a small socket buffer.
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

// A page receives only a few rows of other users. A page that does not read is dropped: it does not
// block the worker, little is buffered for it, and the server can stop.
func TestSlowReadersAreDropped(t *testing.T) {
	page, life, running := startAll(t, playground.Config{})
	slow := unread(t, running.URL)
	unread(t, running.URL) // never read
	quick := follow(t, running.URL, "bob")
	// More than the socket buffers hold, so that the server blocks in its writes.
	const lists, bytes, most = 600, 256 << 10, 64 << 20
	item, began, sent := strings.Repeat("long", bytes/4), time.Now(), make(chan struct{})
	go func() {
		defer close(sent)
		for range lists {
			page.Written(written("ann", recs.List{}, 1, item))
		}
	}()
	select {
	case <-sent:
	case <-time.After(20 * time.Second):
		t.Fatalf("%d lists take more than 20 s: a page that does not read blocks the worker", lists)
	}
	if got, _ := io.Copy(io.Discard, io.LimitReader(slow, most)); got == most {
		t.Errorf("the slow page was sent %d bytes: they were buffered for it", got)
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
		t.Errorf("a page was sent %d rows of other users in %v, more than the limit", others, time.Since(began))
	}
	life.Stop()
	running.Service.Stop()
}
