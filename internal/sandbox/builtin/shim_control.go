//go:build linux && (amd64 || arm64)

package builtin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"

	"oddish/internal/sandbox/netpeer"
)

// requestTimeout bounds the reading of a request. Workers send it at once.
const requestTimeout = 5 * time.Second

// accept answers workers until the process ends.
func (s *shim) accept() {
	var once sync.Once
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.answer(c, func() { once.Do(func() { close(s.stop) }) })
	}
}

func (s *shim) answer(c net.Conn, stop func()) {
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(requestTimeout))
	var r request
	if err := json.NewDecoder(bufio.NewReader(c)).Decode(&r); err != nil {
		s.log.Warn("control request not understood", "error", err)
		return
	}
	var answer reply
	switch r.Op {
	case opNetwork:
		policy, err := netpeer.PolicyOf(r.Network, s.rec.AllowPrivate)
		if err != nil {
			answer.Error = err.Error()
			break
		}
		s.peer.SetPolicy(policy)
	case opStop:
		// Confirmed at once, so that a shim that hangs can be told from one that
		// has much to end; the end itself shows by the process.
		defer stop()
	default:
		answer.Error = fmt.Sprintf("the shim does not know the operation %q; it was started by another version", r.Op)
	}
	if err := json.NewEncoder(c).Encode(answer); err != nil {
		s.log.Warn("control request not answered", "error", err)
	}
}
