package cli

import (
	"net"
	"net/http"
	"sync"
)

// newConns keeps the connections on which no request has come yet. Clients open some in advance, and a server that shuts
// down waits five seconds for each of them, unless they are closed first.
type newConns struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// watch is for http.Server.ConnState.
func (n *newConns) watch(c net.Conn, s http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns == nil {
		n.conns = map[net.Conn]bool{}
	}
	if s == http.StateNew {
		n.conns[c] = true
	} else {
		delete(n.conns, c)
	}
}

func (n *newConns) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
}
