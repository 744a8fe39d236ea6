package redisconn

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/tlsfiles"
)

// Refusal says what to do about a refusal that no repetition changes, and is empty for any
// other error.
func Refusal(err error) string {
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
	return tlsfiles.Remedy(err)
}

// isPermission tells whether a right is missing, be it for a command of a script.
func isPermission(err error) bool {
	return redis.IsPermissionError(err) || strings.Contains(err.Error(), "-NOPERM") || strings.Contains(err.Error(), "The user executing the script can't")
}

// Remedy is Refusal, and says as well what an operator can do about a state of the server
// that may pass by itself.
func Remedy(err error) string {
	if refusal := Refusal(err); refusal != "" || err == nil {
		return refusal
	}
	for code, remedy := range map[string]string{
		"READONLY":    "connect to the master: this is a replica that is only read",
		"OOM":         "raise Redis's maxmemory, or give it less to keep",
		"MISCONF":     "let Redis write to its disk again: its log says what fails",
		"NOREPLICAS":  "bring back the replicas that min-replicas-to-write asks for",
		"CLUSTERDOWN": "bring back the cluster's masters: redis-cli cluster info says which slots are served by none",
		"MOVED":       "connect to the Redis Cluster by nodes that name each other by addresses that can be reached from here",
	} {
		// Redis before 7 puts the code of a script's command within the text.
		if redis.HasErrorPrefix(err, code) || strings.Contains(err.Error(), "-"+code+" ") {
			return remedy
		}
	}
	return ""
}
