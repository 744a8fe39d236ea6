package playground

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"genrec/pkg/event"
	"genrec/serve"
)

// Bounds of the streams.
const (
	maxStreams     = 64
	maxQueued      = 64 // messages per stream; a page that falls further behind is disconnected
	writeTimeout   = 5 * time.Second
	rowsPerSecond  = 6
	reconnectAfter = time.Second
)

// subscriber is the stream of an open page.
type subscriber struct {
	user     string        // receives every row of this user
	others   *rate.Limiter // of rows of other users
	messages chan []byte   // closed when the subscriber is dropped
}

// Written records a list that was just written and sends it to the open pages. It does not
// block, so the inference worker may call it for each list.
func (p *Playground) Written(w Written) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.feed.add(w, p.hasPage(w.Recommendations.User))
	var message []byte
	for s := range p.subscribers {
		if r.User != s.user && (len(r.Items) == 0 || !s.others.Allow()) {
			continue
		}
		if message == nil {
			message = encode("row", r)
		}
		p.send(s, message)
	}
}

// hasPage reports whether somebody acts as the user on an open page.
func (p *Playground) hasPage(user string) bool {
	for s := range p.subscribers {
		if s.user == user {
			return true
		}
	}
	return false
}

// broadcast sends a message to all open pages. The caller holds p.mu.
func (p *Playground) broadcast(kind string, value any) {
	if len(p.subscribers) == 0 {
		return
	}
	message := encode(kind, value)
	for s := range p.subscribers {
		p.send(s, message)
	}
}

// send queues a message. A subscriber that does not keep up is dropped: its page reconnects
// and receives the full state again.
func (p *Playground) send(s *subscriber, message []byte) {
	select {
	case s.messages <- message:
	default:
		delete(p.subscribers, s)
		close(s.messages)
	}
}

func encode(kind string, value any) []byte {
	data, err := json.Marshal(value)
	if err != nil { // not expected: all numbers are finite
		return fmt.Appendf(nil, ": cannot encode %s: %v\n\n", kind, err)
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, data)
}

// hello is the first message of a stream: the full state of the page.
type hello struct {
	Rows     []row           `json:"rows"`
	People   []string        `json:"people"`
	Shelf    []string        `json:"shelf"`
	Figures  figures         `json:"figures"`
	Training trainingMessage `json:"training"`
	Status   string          `json:"status"`
}

// subscribe returns nil if maxStreams pages are open.
func (p *Playground) subscribe(user string) *subscriber {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.subscribers) == maxStreams {
		return nil
	}
	s := &subscriber{user: user, others: rate.NewLimiter(rowsPerSecond, rowsPerSecond), messages: make(chan []byte, maxQueued)}
	p.subscribers[s] = struct{}{}
	p.send(s, encode("hello", hello{
		Rows: append([]row{}, p.feed.rows...), People: append([]string{}, p.feed.users...), Shelf: p.feed.shelf(),
		Figures: p.feed.figures(), Training: p.trainingState(), Status: p.status,
	}))
	return s
}

// shelf returns items to click for users without recommendations: recently used items, then
// popular ones.
func (f *feed) shelf() []string {
	shelf := append([]string{}, f.recentItems...)
	for _, item := range f.popular {
		if len(shelf) < maxShelf {
			shelf = append(shelf, item)
		}
	}
	return shelf
}

func (p *Playground) unsubscribe(s *subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.subscribers, s)
}

// stream sends server-sent events for as long as the page is open.
func (p *Playground) stream(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("user")
	if user != "" {
		if err := event.CheckID("user", user); err != nil {
			serve.WriteProblem(w, http.StatusBadRequest, "%v", err)
			return
		}
	}
	s := p.subscribe(user)
	if s == nil {
		w.Header().Set("Retry-After", "5")
		serve.WriteProblem(w, http.StatusServiceUnavailable, "%d pages are already open: close one", maxStreams)
		return
	}
	defer p.unsubscribe(s)
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Time{}); err != nil { // the server's timeout is for ordinary requests
		serve.WriteProblem(w, http.StatusInternalServerError, "cannot keep the connection open: %v", err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	message := fmt.Appendf(nil, "retry: %d\n\n", reconnectAfter.Milliseconds())
	for more := true; more; {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // supported, as the read deadline is
		if _, err := w.Write(message); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-p.stopped:
			return
		case message, more = <-s.messages:
		}
	}
}
