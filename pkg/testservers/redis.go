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

// RedisConfig configures a Redis.
type RedisConfig struct {
	Folder string    // where it keeps its data
	TLS    *TLS      // nil: not encrypted
	Users  []ACLUser // with any, the default user is off
	Lines  []string  // further ones of its configuration, such as maxmemory 1mb

	bus string // port where the other nodes of a Redis Cluster reach it; empty: no cluster
}

// ACLUser is a user of Redis.
type ACLUser struct {
	Name, Password string
	Rules          string // as for ACL SETUSER
}

// TLS is how a server shows who it is, and the CA of the clients that it accepts.
type TLS struct {
	CA, Cert, Key string // PEM files
}

// Redis is a redis-server that keeps its data over restarts.
type Redis struct {
	cfg     RedisConfig
	address string
	process *process
}

// StartRedis starts a Redis. It runs until Close.
func StartRedis(ctx context.Context, cfg RedisConfig) (*Redis, error) {
	free, err := address()
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

// Start starts it again after Kill, at the same address and with what it held.
func (r *Redis) Start(ctx context.Context) (err error) {
	r.process, err = startProcess(filepath.Join(r.cfg.Folder, "redis.log"), "redis-server", r.configFile())
	if err != nil {
		return err
	}
	return r.process.await(ctx, "redis-server", r.answers)
}

// answers tells whether Redis has loaded its data; one that wants to know who asks has
// no other way to tell than to listen.
func (r *Redis) answers(ctx context.Context) error {
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

// Process returns its process id.
func (r *Redis) Process() int { return r.process.cmd.Process.Pid }

// Kill ends it as a crash does.
func (r *Redis) Kill() { r.process.kill() }

// Close ends it.
func (r *Redis) Close() { r.process.kill() }
