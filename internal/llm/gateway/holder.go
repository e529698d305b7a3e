package gateway

import (
	"net/http"
	"sync"
	"time"
)

// holdTime is how long the beginning of a stream is held back, before any content, since until then a retry mends an error.
const holdTime = time.Second

// holder writes a stream to the agent. It holds back what comes before the first content, for holdTime at most.
type holder struct {
	x      *exchange
	answer *http.Response
	flush  func() error

	mu    sync.Mutex
	timer *time.Timer // nil until something is held
	held  []byte
	open  bool // the head was sent
	over  bool // nothing may be written any more
}

func newHolder(x *exchange, answer *http.Response) *holder {
	return &holder{x: x, answer: answer, flush: http.NewResponseController(x.w).Flush}
}

// write sends an event, or holds it back as long as no content has begun.
func (h *holder) write(raw []byte, begun bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || len(raw) == 0 {
		return nil
	}
	if h.open {
		return h.send(raw)
	}
	h.held = append(h.held, raw...)
	if begun {
		return h.release()
	}
	if h.timer == nil {
		h.timer = time.AfterFunc(holdTime, h.timeout)
	}
	return nil
}

func (h *holder) timeout() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open && !h.over {
		h.release() //nolint:errcheck // the next write fails as well
	}
}

// release sends the head and what was held. The lock is held.
func (h *holder) release() error {
	h.stop()
	h.open = true
	h.x.head(h.answer)
	if !h.x.session.trial.Record {
		h.x.body = nil
		h.x.payload.drop()
	}
	held := h.held
	h.held = nil
	return h.send(held)
}

func (h *holder) send(raw []byte) error {
	h.x.answerLen += int64(len(raw))
	if _, err := h.x.w.Write(raw); err != nil {
		return err
	}
	return h.flush()
}

func (h *holder) stop() {
	if h.timer != nil {
		h.timer.Stop()
	}
}

// discard throws away what is held and reports whether nothing has been sent: then the request may be sent again.
func (h *holder) discard() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open {
		return false
	}
	h.stop()
	h.over = true
	return true
}

// finish sends what is still held; nothing is written afterwards.
func (h *holder) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open && !h.over {
		h.release() //nolint:errcheck // the agent left
	}
	h.stop()
	h.over = true
}
