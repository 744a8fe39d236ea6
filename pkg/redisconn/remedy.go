package redisconn

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/tlsfiles"
)

// Permanent reports whether a retry meets the same error until somebody changes the
// configuration of the client or the server.
func Permanent(err error) bool { return permanentHint(err) != "" }

// permanentHint returns a hint for an error that is permanent, and "" for any other.
func permanentHint(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrPlainText):
		return "connect without TLS (no rediss:// and no --redis-tls), or to the port for TLS"
	case errors.Is(err, ErrTLS):
		return "connect with TLS (rediss:// or --redis-tls)"
	case errors.Is(err, ErrSentinel):
		return "name the Redis that it watches"
	case errors.Is(err, ErrNoCluster):
		return "name one address"
	case errors.Is(err, ErrNoDatabase):
		return "leave out the number of the database"
	case redis.IsAuthError(err):
		return "check the user and the password"
	case isPermission(err):
		return "let this user read and write all keys with the prefix, run scripts, and in a Redis Cluster ask for its slots: docs/SECURITY.md has the rules"
	}
	return tlsfiles.Hint(err)
}

// isPermission tells whether a right is missing, be it for a command of a script.
func isPermission(err error) bool {
	return redis.IsPermissionError(err) || strings.Contains(err.Error(), "-NOPERM") || strings.Contains(err.Error(), "The user executing the script can't")
}

// Hint says what an operator can do about an error, permanent or not. It is empty for errors
// that need no action, such as a server that is down.
func Hint(err error) string {
	if hint := permanentHint(err); hint != "" || err == nil {
		return hint
	}
	for code, hint := range map[string]string{
		"READONLY":    "connect to the master: this is a replica that is only read",
		"OOM":         "raise Redis's maxmemory, or give it less to keep",
		"MISCONF":     "let Redis write to its disk again: its log says what fails",
		"NOREPLICAS":  "bring back the replicas that min-replicas-to-write asks for",
		"CLUSTERDOWN": "bring back the cluster's masters: redis-cli cluster info says which slots are served by none",
		"MOVED":       "connect to the Redis Cluster by nodes that name each other by addresses that can be reached from here",
	} {
		// Redis before 7 puts the code of a script's command within the text.
		if redis.HasErrorPrefix(err, code) || strings.Contains(err.Error(), "-"+code+" ") {
			return hint
		}
	}
	return ""
}
