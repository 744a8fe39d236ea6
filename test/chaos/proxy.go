package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// proxy forwards connections from the services to a server. It can close and stall them.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	until time.Time // end of the stall
}

func newProxy() (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy: %w", err)
	}
	return &proxy{listener: listener, conns: make(map[net.Conn]struct{})}, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// serve forwards connections to the target until close.
func (p *proxy) serve(target string) {
	p.target = target
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.forward(client)
	}
}

func (p *proxy) forward(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.track(client, server)
	defer p.closeConns(client, server)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Add(1)
		go func() {
			defer both.Done()
			_ = p.copy(way[1], way[0])
			p.closeConns(client, server)
		}()
	}
	both.Wait()
}

func (p *proxy) copy(to io.Writer, from io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		time.Sleep(time.Until(p.resumeTime()))
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
}

func (p *proxy) resumeTime() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until
}

func (p *proxy) track(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
}

func (p *proxy) closeConns(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// cut closes all open connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// stall forwards no bytes for a duration.
func (p *proxy) stall(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Now().Add(d)
}

func (p *proxy) close() error {
	err := p.listener.Close()
	p.cut()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
