package playground

import (
	"context"
	"embed"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"time"

	"genrec/pkg/event"
	"genrec/serve"
)

//go:embed static
var embedded embed.FS

// contentPolicy restricts the page to its own server.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

const (
	readTimeout = 2 * time.Second
	maxEvents   = 40
	maxItems    = 100 // per request for titles
)

// Around returns a handler that serves the page and passes everything else to an API. With
// local, requests must have a loopback Host header, which defends against DNS rebinding.
func (p *Playground) Around(local bool) func(api http.Handler) http.Handler {
	return func(api http.Handler) http.Handler { return secure(p.routes(api), local) }
}

func (p *Playground) routes(api http.Handler) http.Handler {
	static, _ := fs.Sub(embedded, "static") // fails only for an invalid name
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, static, "index.html") })
	mux.Handle("GET /playground/", http.StripPrefix("/playground/", http.FileServerFS(static)))
	mux.HandleFunc("GET /playground/stream", p.stream)
	mux.HandleFunc("GET /playground/users/{id}", p.user)
	mux.HandleFunc("GET /playground/items", p.items)
	mux.HandleFunc("POST /playground/training", p.startTraining)
	mux.Handle("/", api)
	return mux
}

// secure rejects cross-origin requests and sets the security headers of responses.
func secure(page http.Handler, local bool) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		serve.WriteProblem(w, http.StatusForbidden, "cross-origin requests are not allowed")
	}))
	guarded := guard.Handler(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local && !isLocal(r.Host) {
			serve.WriteProblem(w, http.StatusMisdirectedRequest, "use localhost: this server accepts requests for loopback addresses only")
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", contentPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		guarded.ServeHTTP(w, r)
	})
}

// isLocal reports whether a Host header, with or without a port, is a loopback address.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(host)
	return host == "localhost" || host == "[::1]" || ip != nil && ip.IsLoopback()
}

// interaction is an event of a user.
type interaction struct {
	Item string    `json:"item"`
	Type string    `json:"type"`
	At   time.Time `json:"at"`
}

func (p *Playground) user(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := event.CheckID("user", id); err != nil {
		serve.WriteProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	sequences, err := p.cfg.Sessions.Sequences(ctx, []string{id})
	if err != nil {
		p.unavailable(ctx, w, "cannot read the events of the user", err)
		return
	}
	events := []interaction{}
	for _, i := range slices.Backward(sequences[0].Interactions) {
		if len(events) < maxEvents {
			events = append(events, interaction{i.Item, i.Type, i.Time})
		}
	}
	serve.WriteJSON(w, http.StatusOK, map[string][]interaction{"history": events})
}

func (p *Playground) items(w http.ResponseWriter, r *http.Request) {
	ids := r.URL.Query()["id"]
	if len(ids) > maxItems {
		serve.WriteProblem(w, http.StatusBadRequest, "%d items requested: at most %d are allowed per request", len(ids), maxItems)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	metadata, err := p.cfg.Reader.Metadata(ctx, ids)
	if err != nil {
		p.unavailable(ctx, w, "cannot read item titles", err)
		return
	}
	serve.WriteJSON(w, http.StatusOK, metadata)
}

func (p *Playground) startTraining(w http.ResponseWriter, _ *http.Request) {
	switch {
	case p.cfg.Train == nil:
		serve.WriteProblem(w, http.StatusNotImplemented, "this server does not train models")
	case !p.requestTraining():
		serve.WriteProblem(w, http.StatusConflict, "a training is already running: only one runs at a time")
	default:
		serve.WriteJSON(w, http.StatusAccepted, map[string]string{"status": "training"})
	}
}

func (p *Playground) unavailable(ctx context.Context, w http.ResponseWriter, message string, err error) {
	p.cfg.Logger.WarnContext(ctx, "playground request failed", "reason", message, "err", err)
	w.Header().Set("Retry-After", "1")
	serve.WriteProblem(w, http.StatusServiceUnavailable, "%s: is Redis running?", message)
}
