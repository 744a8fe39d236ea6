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

// policy lets the page load and ask its own server alone.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

const (
	readTime   = 2 * time.Second
	maxHistory = 40
	maxAsked   = 100 // items at once
)

// Around puts the page before an API. With local, who asks must name this machine as it
// names itself: other names that lead here are a trick of other web pages.
func (p *Playground) Around(local bool) func(api http.Handler) http.Handler {
	return func(api http.Handler) http.Handler { return secure(p.routes(api), local) }
}

func (p *Playground) routes(api http.Handler) http.Handler {
	static, _ := fs.Sub(embedded, "static") // fails for a wrong name only
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

// secure refuses what pages of other sites may try, and tells browsers what this one may.
func secure(page http.Handler, local bool) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		serve.WriteProblem(w, http.StatusForbidden, "pages of other sites may send nothing here")
	}))
	guarded := guard.Handler(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local && !isLocal(r.Host) {
			serve.WriteProblem(w, http.StatusMisdirectedRequest, "ask for localhost: this address is for this machine alone")
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		guarded.ServeHTTP(w, r)
	})
}

// isLocal tells whether a host, with a port or without, names this machine to itself.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(host)
	return host == "localhost" || host == "[::1]" || ip != nil && ip.IsLoopback()
}

// done is what somebody did.
type done struct {
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
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	sequences, err := p.cfg.Sessions.Sequences(ctx, []string{id})
	if err != nil {
		p.unavailable(ctx, w, "what the user did cannot be read", err)
		return
	}
	history := []done{}
	for _, i := range slices.Backward(sequences[0].Interactions) {
		if len(history) < maxHistory {
			history = append(history, done{i.Item, i.Type, i.Time})
		}
	}
	serve.WriteJSON(w, http.StatusOK, map[string][]done{"history": history})
}

func (p *Playground) items(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()["id"]
	if len(asked) > maxAsked {
		serve.WriteProblem(w, http.StatusBadRequest, "%d items are asked for: at most %d are answered at once", len(asked), maxAsked)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	about, err := p.cfg.Reader.Metadata(ctx, asked)
	if err != nil {
		p.unavailable(ctx, w, "the titles cannot be read", err)
		return
	}
	serve.WriteJSON(w, http.StatusOK, about)
}

func (p *Playground) startTraining(w http.ResponseWriter, _ *http.Request) {
	switch {
	case p.cfg.Train == nil:
		serve.WriteProblem(w, http.StatusNotImplemented, "this server does not train")
	case !p.want():
		serve.WriteProblem(w, http.StatusConflict, "a training runs already: one at a time")
	default:
		serve.WriteJSON(w, http.StatusAccepted, map[string]string{"status": "training"})
	}
}

func (p *Playground) unavailable(ctx context.Context, w http.ResponseWriter, what string, err error) {
	p.cfg.Logger.WarnContext(ctx, "the page is told 503", "why", what, "err", err)
	w.Header().Set("Retry-After", "1")
	serve.WriteProblem(w, http.StatusServiceUnavailable, "%s: does Redis run?", what)
}
