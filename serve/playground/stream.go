package playground

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"genrec/inference"
	"genrec/pkg/event"
	"genrec/serve"
)

// Bounds of the streams.
const (
	maxStreams     = 64
	maxWaiting     = 64 // messages, of a stream whose reader is slow
	writeTimeout   = 5 * time.Second
	rowsPerSecond  = 6
	reconnectAfter = time.Second
)

// subscriber is an open page.
type subscriber struct {
	user     string // whose rows it always gets
	others   *rate.Limiter
	messages chan []byte // closed when it is dropped
}

// Written is told of lists as a worker writes them. It is quick.
func (p *Playground) Written(w inference.Written) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.feed.add(w, p.plays(w.Recommendations.User))
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

// plays tells whether a page is open as a user.
func (p *Playground) plays(user string) bool {
	for s := range p.subscribers {
		if s.user == user {
			return true
		}
	}
	return false
}

// broadcast is called with the lock held.
func (p *Playground) broadcast(kind string, value any) {
	if len(p.subscribers) == 0 {
		return
	}
	message := encode(kind, value)
	for s := range p.subscribers {
		p.send(s, message)
	}
}

// send drops who does not keep up: the page comes back by itself, and begins anew.
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
	if err != nil { // numbers are finite
		return fmt.Appendf(nil, ": %s cannot be told: %v\n\n", kind, err)
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, data)
}

// hello is what a page begins with.
type hello struct {
	Rows     []row         `json:"rows"`
	People   []string      `json:"people"`
	Shelf    []string      `json:"shelf"`
	Figures  figures       `json:"figures"`
	Training trainingState `json:"training"`
	Status   string        `json:"status"`
}

// subscribe returns nil if there are too many.
func (p *Playground) subscribe(user string) *subscriber {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.subscribers) == maxStreams {
		return nil
	}
	s := &subscriber{user: user, others: rate.NewLimiter(rowsPerSecond, rowsPerSecond), messages: make(chan []byte, maxWaiting)}
	p.subscribers[s] = struct{}{}
	p.send(s, encode("hello", hello{
		Rows: append([]row{}, p.feed.rows...), People: append([]string{}, p.feed.people...), Shelf: p.feed.window(),
		Figures: p.feed.figures(), Training: p.trainingNow(), Status: p.status,
	}))
	return s
}

// window is what there is to click for those who have no list.
func (f *feed) window() []string {
	shelf := append([]string{}, f.shelf...)
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

// stream is server-sent events, for as long as the page is open.
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
		serve.WriteProblem(w, http.StatusServiceUnavailable, "%d pages are open already: close one", maxStreams)
		return
	}
	defer p.unsubscribe(s)
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Time{}); err != nil { // the server's is for requests that end
		serve.WriteProblem(w, http.StatusInternalServerError, "this connection cannot stay open: %v", err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	message := fmt.Appendf(nil, "retry: %d\n\n", reconnectAfter.Milliseconds())
	for more := true; more; {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // as the other one could be set
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
