package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"net/http"
	"net/netip"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// tokens are hashes, so that all are of one length and comparing them takes one time.
type tokens [][sha256.Size]byte

func newTokens(texts []string) tokens {
	hashes := make(tokens, len(texts))
	for i, text := range texts {
		hashes[i] = sha256.Sum256([]byte(text))
	}
	return hashes
}

// has compares with all of them, also after it has found one.
func (t tokens) has(text string) bool {
	hash, found := sha256.Sum256([]byte(text)), 0
	for i := range t {
		found |= subtle.ConstantTimeCompare(hash[:], t[i][:])
	}
	return found == 1
}

// authenticate lets through who shows a token, as often as the limit allows.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := addressOf(r)
		if len(s.tokens) > 0 {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if !strings.EqualFold(scheme, "Bearer") || !s.tokens.has(token) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				Refuse(w, http.StatusUnauthorized, "send one of this server's tokens, as in: Authorization: Bearer TOKEN")
				return
			}
			who = token
		}
		if s.limiters != nil && !s.limiters.of(who).Allow() {
			w.Header().Set("Retry-After", "1")
			Refuse(w, http.StatusTooManyRequests, "more than %v requests a second: wait a moment", s.cfg.Rate)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bound keeps requests that wait for Redis or Kafka from filling the memory.
func bound(most int, next http.Handler) http.Handler {
	inFlight := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case inFlight <- struct{}{}:
			defer func() { <-inFlight }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			Refuse(w, http.StatusServiceUnavailable, "%d such requests are being answered: try again", most)
		}
	})
}

// addressOf is an IPv4 address, or the network of IPv6 addresses that one customer has. A
// proxy's headers are not asked: anybody can write them.
func addressOf(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address := at.Addr().Unmap()
	if address.Is4() {
		return address.String()
	}
	const customer = 64
	network, _ := address.WithZone("").Prefix(customer) // fails for other lengths alone
	return network.String()
}

// limiters remembers those who asked last.
type limiters struct {
	rate  rate.Limit
	known *lru.Cache[string, *rate.Limiter]
}

const maxLimiters = 10_000

func newLimiters(perSecond float64) *limiters {
	if perSecond == 0 {
		return nil
	}
	known, _ := lru.New[string, *rate.Limiter](maxLimiters) // fails for a size below 1 only
	return &limiters{rate: rate.Limit(perSecond), known: known}
}

// of lets a second's worth come at once.
func (l *limiters) of(who string) *rate.Limiter {
	if limiter, ok := l.known.Get(who); ok {
		return limiter
	}
	fresh := rate.NewLimiter(l.rate, int(math.Ceil(float64(l.rate))))
	if earlier, ok, _ := l.known.PeekOrAdd(who, fresh); ok {
		return earlier
	}
	return fresh
}
