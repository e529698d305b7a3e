//go:build linux && (amd64 || arm64)

package builtin

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"oddish/internal/sandbox"
)

// stdio connects a command in the sandbox with the caller's streams, by pipes of
// this machine. A pipe is read as long as anything in the sandbox can write to it: a
// closed one would give writers an error that many do not expect, instead of a signal.
type stdio struct {
	in  *inlet
	out [2]*outlet // stdout, stderr; nil where nobody listens
	// broken is closed when a caller's stream failed, so that the command is of no use.
	broken chan struct{}
	once   sync.Once
	theirs []*os.File // the sandbox's ends, in the order 0, 1, 2
	begun  bool       // the copying, which closes the pipes in the end
}

func newStdio(cmd sandbox.Command) (*stdio, error) {
	std := &stdio{broken: make(chan struct{})}
	if err := std.open(cmd); err != nil {
		std.closeGuest()
		std.abandon()
		return nil, fmt.Errorf("connect the command: %w", err)
	}
	return std, nil
}

func (std *stdio) open(cmd sandbox.Command) error {
	if err := std.openInput(cmd.Stdin); err != nil {
		return err
	}
	for i, w := range []io.Writer{cmd.Stdout, cmd.Stderr} {
		if i == 1 && w != nil && same(w, cmd.Stdout) {
			// One pipe for both keeps the order, and makes the writes one after the other.
			std.theirs = append(std.theirs, std.theirs[1])
			continue
		}
		if w == nil {
			if err := std.openNull(os.O_WRONLY); err != nil {
				return err
			}
			continue
		}
		r, theirs, err := os.Pipe()
		if err != nil {
			return err
		}
		std.theirs = append(std.theirs, theirs)
		std.out[i] = &outlet{pipe: r, dst: w, whole: make(chan struct{}), fail: std.fail}
		// Any user in the sandbox may open it again, as /dev/stdout.
		if err := theirs.Chmod(0o666); err != nil {
			return err
		}
	}
	return nil
}

func (std *stdio) openInput(src io.Reader) error {
	if src == nil {
		return std.openNull(os.O_RDONLY)
	}
	theirs, w, err := os.Pipe()
	if err != nil {
		return err
	}
	std.theirs = append(std.theirs, theirs)
	std.in = &inlet{pipe: w, src: src, fail: std.fail}
	return theirs.Chmod(0o666)
}

func (std *stdio) openNull(mode int) error {
	f, err := os.OpenFile(os.DevNull, mode, 0)
	if err != nil {
		return err
	}
	std.theirs = append(std.theirs, f)
	return nil
}

// same tells whether two writers are one.
func same(a, b io.Writer) bool {
	defer func() { _ = recover() }() // values of a type that cannot be compared
	return a == b
}

// guest gives the ends that the command is to have as 0, 1 and 2.
func (std *stdio) guest() []*os.File { return std.theirs }

// closeGuest closes this process's copies of the sandbox's ends.
func (std *stdio) closeGuest() {
	for _, f := range std.theirs {
		f.Close()
	}
	std.theirs = nil
}

func (std *stdio) fail() { std.once.Do(func() { close(std.broken) }) }

// start begins to copy.
func (std *stdio) start() {
	std.begun = true
	if std.in != nil {
		go std.in.copy()
	}
	for _, o := range std.out {
		if o != nil {
			go o.copy()
		}
	}
}

// finish waits for the output that a command which has ended had written, and
// returns the first error of the caller's streams.
func (std *stdio) finish() error {
	var errs []error
	if std.in != nil {
		errs = append(errs, std.in.finish())
	}
	for _, o := range std.out {
		if o != nil {
			errs = append(errs, o.finish())
		}
	}
	return errors.Join(errs...)
}

// abandon lets go of a command that was given up or never ran. The caller's
// streams are not written to afterwards.
func (std *stdio) abandon() {
	if std.in != nil {
		std.in.pipe.Close()
	}
	for _, o := range std.out {
		switch {
		case o == nil:
		case std.begun:
			o.abandon()
		default:
			o.pipe.Close()
		}
	}
}

// inlet copies the caller's stream to the command's input.
type inlet struct {
	pipe *os.File
	src  io.Reader
	fail func() // called when src fails

	mu  sync.Mutex
	err error // of src
}

// copy ends with the stream, or when the command no longer reads; that is its own business.
func (in *inlet) copy() {
	_, _ = io.Copy(in.pipe, in)
	in.pipe.Close()
}

// Read reads from the caller's stream and keeps its error, to tell it from one of the pipe.
func (in *inlet) Read(p []byte) (int, error) {
	n, err := in.src.Read(p)
	if err != nil && err != io.EOF {
		in.mu.Lock()
		in.err = fmt.Errorf("read the command's input: %w", err)
		in.mu.Unlock()
		in.fail()
	}
	return n, err
}

// finish is called when the command has ended.
func (in *inlet) finish() error {
	in.pipe.Close()
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.err
}

// outlet copies one output of the command to the caller's stream.
type outlet struct {
	pipe  *os.File
	dst   io.Writer
	whole chan struct{} // closed when all that the command wrote is in dst
	fail  func()        // called when dst does not take more

	mu    sync.Mutex
	muted bool  // dst belongs to the caller again
	err   error // of dst; read after whole
}

// copy runs until nobody in the sandbox can write any more, which may be long after the command.
func (o *outlet) copy() {
	defer o.pipe.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := o.pipe.Read(buf)
		o.write(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) { // the command has ended
			break
		}
		if err != nil {
			close(o.whole)
			return
		}
	}
	open := o.drain(buf)
	close(o.whole)
	if open {
		o.pipe.SetReadDeadline(time.Time{})
		io.Copy(io.Discard, o.pipe)
	}
}

func (o *outlet) write(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.muted || o.err != nil || len(b) == 0 {
		return
	}
	if _, err := o.dst.Write(b); err != nil {
		o.err = fmt.Errorf("pass the command's output on: %w", err)
		o.fail()
	}
}

// drain takes what is in the pipe now, without waiting, and says whether more can follow.
func (o *outlet) drain(buf []byte) (open bool) {
	raw, err := o.pipe.SyscallConn()
	if err != nil {
		return false
	}
	o.pipe.SetReadDeadline(time.Time{})
	for {
		var n int
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			n, readErr = unix.Read(int(fd), buf)
			return true // never wait
		})
		switch {
		case err != nil:
			return false
		case readErr == unix.EINTR:
		case readErr == unix.EAGAIN:
			return true
		case readErr != nil || n <= 0:
			return false
		default:
			o.write(buf[:n])
		}
	}
}

// finish is called when the command has ended.
func (o *outlet) finish() error {
	o.pipe.SetReadDeadline(time.Now())
	<-o.whole
	return o.err
}

// abandon stops passing output on. What still writes in the sandbox is read and discarded.
func (o *outlet) abandon() {
	o.mu.Lock()
	o.muted = true
	o.mu.Unlock()
	o.pipe.SetReadDeadline(time.Now())
}
