package sandbox

// Tail keeps the last bytes that are written to it: the words of a command with which an error is explained. It is used
// from one goroutine at a time.
type Tail struct {
	Most int // bytes
	Data []byte
}

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.Data = append(t.Data, p...)
	if over := len(t.Data) - t.Most; over > 0 {
		t.Data = append(t.Data[:0], t.Data[over:]...)
	}
	return len(p), nil
}
