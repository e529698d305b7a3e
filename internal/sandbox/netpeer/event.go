//go:build linux && (amd64 || arm64)

package netpeer

import (
	"net/netip"
	"time"
)

// Event is a connection that a sandbox tried, or a question for a host, once it is over.
type Event struct {
	Time     time.Time `json:"time"`  // when it was tried
	Proto    string    `json:"proto"` // tcp, udp or dns
	Host     string    `json:"host,omitempty"`
	Address  string    `json:"address,omitempty"` // that the sandbox wanted; of a host that it knows by name, the one that stands for it
	Port     uint16    `json:"port,omitempty"`
	Allowed  bool      `json:"allowed"`
	Reason   string    `json:"reason,omitempty"` // why not, or why it came to nothing
	Sent     int64     `json:"sent_bytes"`       // by the sandbox
	Received int64     `json:"received_bytes"`
	Seconds  float64   `json:"seconds"`
}

// note tells of an event, which has begun at its Time or just now.
func (p *Peer) note(e *Event) {
	if p.cfg.Record == nil {
		return
	}
	now := time.Now().UTC()
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Seconds = now.Sub(e.Time).Seconds()
	p.cfg.Record(*e)
}

// tried begins the event of a connection.
func (p *Peer) tried(proto string, to netip.AddrPort) *Event {
	return &Event{Time: time.Now().UTC(), Proto: proto, Host: p.names.host(to.Addr()), Address: to.Addr().String(), Port: to.Port()}
}
