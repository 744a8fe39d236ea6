package serve

import (
	"math"
	"net/http"
	"net/netip"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// limiters are the rate limiters of the most recent clients.
type limiters struct {
	rate     rate.Limit
	byClient *lru.Cache[string, *rate.Limiter]
}

const maxLimiters = 10_000

// newLimiters returns nil for a rate of 0: no limit.
func newLimiters(perSecond float64) *limiters {
	if perSecond == 0 {
		return nil
	}
	byClient, _ := lru.New[string, *rate.Limiter](maxLimiters) // fails only for a size below 1
	return &limiters{rate: rate.Limit(perSecond), byClient: byClient}
}

// of returns the limiter of a client. It permits bursts of one second's requests.
func (l *limiters) of(client string) *rate.Limiter {
	if limiter, ok := l.byClient.Get(client); ok {
		return limiter
	}
	fresh := rate.NewLimiter(l.rate, int(math.Ceil(float64(l.rate))))
	if earlier, ok, _ := l.byClient.PeekOrAdd(client, fresh); ok {
		return earlier
	}
	return fresh
}

// addressOf returns the client's IPv4 address, or the /64 network of its IPv6 address, which is
// what one customer usually gets. Proxy headers are ignored, because clients can forge them.
func addressOf(r *http.Request) string {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address := remote.Addr().Unmap()
	if address.Is4() {
		return address.String()
	}
	const customerBits = 64
	network, _ := address.WithZone("").Prefix(customerBits) // fails only for other lengths
	return network.String()
}
