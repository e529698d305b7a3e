package worker

import (
	"errors"
	"fmt"
	"io"
	"os"

	"oddish/internal/redact"
)

// textHead is how much of a file tells whether it is text, in bytes.
const textHead = 8 << 10

// cleanFile is a copy of a file without secrets. It has no name any more.
type cleanFile struct {
	*os.File
	size int64
}

func (c *cleanFile) close() { _ = c.Close() } // it was written and read

// redacted gives a copy of the part of a file that is to be sent, without the secrets; nil: there are none in it, or it is no text.
// On the worker the file stays as it is: a trial that is taken up again goes on with it.
func redacted(s *redact.Secrets, r io.ReaderAt, f file) (*cleanFile, error) {
	if s.Empty() {
		return nil, nil
	}
	head := make([]byte, min(f.size, textHead))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	if !redact.Text(head) {
		return nil, nil
	}
	out, err := os.CreateTemp("", "oddish-redacted-")
	if err != nil {
		return nil, fmt.Errorf("take secrets out of it: %w", err)
	}
	c := &cleanFile{File: out}
	err = os.Remove(out.Name())
	if err == nil {
		c.size, err = io.Copy(out, s.Reader(io.NewSectionReader(r, 0, f.size)))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take secrets out of it: %w", err), out.Close())
	}
	return c, nil
}
