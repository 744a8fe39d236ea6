package testservers

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"
)

// RedisConfig configures a Redis server.
type RedisConfig struct {
	Folder string    // data and configuration
	TLS    *TLS      // nil: no TLS
	Users  []ACLUser // if there are any, the default user is disabled
	Lines  []string  // more lines of redis.conf, such as "maxmemory 1mb"

	bus string // cluster bus port; empty: not a node of a Redis Cluster
}

// ACLUser is a Redis user.
type ACLUser struct {
	Name     string // user name
	Password string // in plain text
	Rules    string // in the syntax of ACL SETUSER
}

// TLS has the PEM files of a server or client.
type TLS struct {
	CA   string // CA that signed the certificates of both sides
	Cert string // certificate
	Key  string // private key of Cert
}

// Redis is a redis-server. It keeps its data, in an append-only file, when it is restarted.
type Redis struct {
	cfg     RedisConfig
	address string
	server  *server
}

// StartRedis starts a Redis server. The caller must Close it.
func StartRedis(ctx context.Context, cfg RedisConfig) (*Redis, error) {
	free, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	r := &Redis{cfg: cfg, address: free}
	if err := r.writeConfig(); err != nil {
		return nil, fmt.Errorf("configure Redis: %w", err)
	}
	if err := r.Start(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Address returns HOST:PORT.
func (r *Redis) Address() string { return r.address }

func (r *Redis) configFile() string { return filepath.Join(r.cfg.Folder, "redis.conf") }

func (r *Redis) writeConfig() error {
	host, port, err := net.SplitHostPort(r.address)
	if err != nil {
		return err
	}
	lines := []string{"bind " + host, "dir " + r.cfg.Folder, `save ""`, "appendonly yes"}
	if t := r.cfg.TLS; t != nil {
		lines = append(lines, "port 0", "tls-port "+port, "tls-ca-cert-file "+t.CA, "tls-cert-file "+t.Cert, "tls-key-file "+t.Key)
	} else {
		lines = append(lines, "port "+port)
	}
	lines = append(lines, r.cfg.Lines...)
	if r.cfg.bus != "" {
		lines = append(lines, "cluster-enabled yes", "cluster-port "+r.cfg.bus)
	}
	for _, u := range r.cfg.Users {
		lines = append(lines, fmt.Sprintf("user %s on >%s %s", u.Name, u.Password, u.Rules))
	}
	if len(r.cfg.Users) > 0 {
		lines = append(lines, "user default off")
	}
	return os.WriteFile(r.configFile(), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// Start restarts the server after Kill, with the same address and data.
func (r *Redis) Start(ctx context.Context) (err error) {
	r.server, err = startServer(filepath.Join(r.cfg.Folder, "redis.log"), "redis-server", r.configFile())
	if err != nil {
		return err
	}
	return r.server.awaitReady(ctx, "redis-server", r.ready)
}

// ready fails until Redis has loaded its data. With TLS or users, only the connection is checked,
// because there are no credentials to send a command with.
func (r *Redis) ready(ctx context.Context) error {
	if r.cfg.TLS != nil || len(r.cfg.Users) > 0 {
		return reach(ctx, r.address)
	}
	client := redis.NewClient(&redis.Options{Addr: r.address, MaxRetries: -1, ContextTimeoutEnabled: true})
	defer client.Close()
	return client.Ping(ctx).Err()
}

func reach(ctx context.Context, address string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Process returns the process ID.
func (r *Redis) Process() int { return r.server.ID() }

// Kill sends SIGKILL, as a crash would.
func (r *Redis) Kill() { r.server.Kill() }

// Close ends the server.
func (r *Redis) Close() { r.server.Kill() }
