package gateway

import (
	"io"
	"sync"
)

// payload is the body of a request, which the transport keeps a reference to for as long as the answer streams. What was sent can be dropped:
// prompts are large, and hundreds of streams may run.
type payload struct {
	mu   sync.Mutex
	data []byte
	sent bool
}

// drop lets go of the data if all of it was sent.
func (p *payload) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent {
		p.data = nil
	}
}

func (p *payload) reader() io.ReadCloser { return &payloadReader{p: p} }

type payloadReader struct {
	p   *payload
	off int
}

func (r *payloadReader) Read(b []byte) (int, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.off >= len(r.p.data) {
		r.p.sent = true
		return 0, io.EOF
	}
	n := copy(b, r.p.data[r.off:])
	if r.off += n; r.off == len(r.p.data) {
		r.p.sent = true
	}
	return n, nil
}

func (r *payloadReader) Close() error { return nil }
