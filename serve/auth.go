package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// tokens are the hashes of the accepted bearer tokens: of equal length, so that comparing them
// takes constant time.
type tokens [][sha256.Size]byte

func newTokens(texts []string) tokens {
	hashes := make(tokens, len(texts))
	for i, text := range texts {
		hashes[i] = sha256.Sum256([]byte(text))
	}
	return hashes
}

// contains compares a token with all accepted ones, even after a match.
func (t tokens) contains(token string) bool {
	hash, found := sha256.Sum256([]byte(token)), 0
	for i := range t {
		found |= subtle.ConstantTimeCompare(hash[:], t[i][:])
	}
	return found == 1
}

// authenticate requires a bearer token, if the server has any, and applies the rate limit of the
// token, or else of the client's address.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := addressOf(r)
		if len(s.tokens) > 0 {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if !strings.EqualFold(scheme, "Bearer") || !s.tokens.contains(token) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				WriteProblem(w, http.StatusUnauthorized, "a valid bearer token is required: Authorization: Bearer TOKEN")
				return
			}
			client = token
		}
		if s.limiters != nil && !s.limiters.of(client).Allow() {
			w.Header().Set("Retry-After", "1")
			WriteProblem(w, http.StatusTooManyRequests, "rate limit of %v requests per second exceeded", s.cfg.Rate)
			return
		}
		next.ServeHTTP(w, r)
	})
}
