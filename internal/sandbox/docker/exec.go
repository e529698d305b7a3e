package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

// wrapper tells its process id as the first line of stderr, so that the command's group can be killed,
// and becomes the command under bash, or sh where there is none.
const wrapper = `echo $$ >&2; command -v bash >/dev/null 2>&1 && exec bash -c "$1"; exec sh -c "$1"`

const (
	killTimeout = 5 * time.Second        // to kill a command that was given up
	heldAfter   = time.Second            // how often an open stream is doubted
	heldGrace   = 200 * time.Millisecond // for the last output, once the command is known to have ended
)

// Exec runs a short command to its end. What it leaves in the background may hold its
// output open; Exec returns all the same.
func (b *box) Exec(ctx context.Context, cmd sandbox.Command) (int, error) {
	code, err := b.exec(ctx, cmd)
	if err == nil && code == killed || errors.Is(err, errUnbegun) {
		if why := b.stillUp(ctx); why != nil {
			err = why
		}
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("run %s in container %s: %w", label(cmd), b.id, b.died(ctx, err))
	}
	return code, nil
}

// killed is the exit status of a process that was killed.
const killed = 137

// errUnbegun: nothing is known of a command but that it has ended.
var errUnbegun = errors.New("the command was killed before it began")

// stillUp tells whether a killed command died with its container. The engine learns of
// the two deaths one after the other, so a running container is asked about again.
func (b *box) stillUp(ctx context.Context) error {
	for range 3 {
		if err := b.running(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(heldGrace / 2):
		}
	}
	return nil
}

// Run runs a long command under the supervisor that all providers share. One
// whose main process the kernel killed for its memory ends in ErrOutOfMemory.
func (b *box) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	exit, err := sandbox.Supervise(ctx, b.Exec, p)
	if err == nil && exit.Code == killed && !exit.TimedOut {
		if m := b.memory(ctx); m.kills > 0 {
			return sandbox.Exit{}, fmt.Errorf("%w: %s in container %s was killed%s", sandbox.ErrOutOfMemory, label(p.Command), b.id, m.words())
		}
	}
	return exit, err
}

func label(cmd sandbox.Command) string {
	if cmd.Label != "" {
		return cmd.Label
	}
	return "a command"
}

func (b *box) exec(ctx context.Context, cmd sandbox.Command) (int, error) {
	made, err := b.p.engine.ExecCreate(ctx, b.id, b.execOptions(cmd))
	if err != nil {
		return 0, unknownUser(cmd.User, err)
	}
	conn, err := b.p.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return 0, unknownUser(cmd.User, err)
	}
	defer conn.Close()
	if cmd.Stdin != nil {
		go func() {
			_, _ = io.Copy(conn.Conn, cmd.Stdin) // a command may end before it has read everything
			_ = conn.CloseWrite()
		}()
	}
	out := copyOutput(conn, cmd)
	code, err := b.await(ctx, made.ID, out)
	if err != nil {
		b.kill(ctx, out.pid)
	}
	out.cut() // so that nothing is written after Exec has returned
	if err == nil && (!out.stderr.done || out.stderr.isRuntimes()) {
		return 0, notStarted(cmd, out.stdout.String()+out.stderr.foreign)
	}
	return code, err
}

// notStarted makes an error of what the engine wrote in place of the command's output.
func notStarted(cmd sandbox.Command, said string) error {
	said = strings.TrimSpace(said)
	switch {
	case strings.Contains(said, "chdir to cwd"):
		return fmt.Errorf("working directory %s does not exist in the container", cmd.Dir)
	case said == "":
		return errUnbegun
	}
	return unknownUser(cmd.User, errors.New(said))
}

// output is the stream of a running exec.
type output struct {
	conn   client.ExecAttachResult
	pid    <-chan int    // the command's, once it has told
	copied chan struct{} // closed at the end of the stream; what follows is to be read after it
	err    error         // of the copying
	stderr *pidLine
	stdout preface
}

func copyOutput(conn client.ExecAttachResult, cmd sandbox.Command) *output {
	pid := make(chan int, 1)
	o := &output{
		conn: conn, pid: pid, copied: make(chan struct{}),
		stderr: &pidLine{next: orDiscard(cmd.Stderr), pid: pid},
		stdout: preface{next: orDiscard(cmd.Stdout)},
	}
	go func() {
		defer close(o.copied)
		_, o.err = stdcopy.StdCopy(&o.stdout, o.stderr, conn.Reader)
	}()
	return o
}

// cut ends the stream.
func (o *output) cut() {
	o.conn.Close()
	<-o.copied
}

func (b *box) execOptions(cmd sandbox.Command) client.ExecCreateOptions {
	env := make([]string, 0, len(cmd.Env))
	for _, k := range slices.Sorted(maps.Keys(cmd.Env)) {
		env = append(env, k+"="+cmd.Env[k])
	}
	dir := cmd.Dir
	if dir == "" {
		dir = b.workdir
	}
	return client.ExecCreateOptions{
		Cmd:          []string{"sh", "-c", wrapper, "oddish", cmd.Script},
		Env:          env,
		User:         cmd.User,
		WorkingDir:   dir,
		AttachStdin:  cmd.Stdin != nil,
		AttachStdout: true,
		AttachStderr: true,
	}
}

// await returns the exit status of an exec. The end of its output is its end, unless something
// left behind holds the output open, which is why the engine is asked now and then.
func (b *box) await(ctx context.Context, id string, out *output) (int, error) {
	doubt := time.NewTicker(heldAfter)
	defer doubt.Stop()
	for {
		select {
		case <-out.copied:
			if out.err != nil {
				return 0, fmt.Errorf("copy output: %w", out.err)
			}
			return b.p.status(ctx, id)
		case <-doubt.C:
			if ended, err := b.ended(ctx, id); err == nil && ended {
				select {
				case <-out.copied:
				case <-time.After(heldGrace):
				}
				return b.p.status(ctx, id)
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (b *box) ended(ctx context.Context, id string) (bool, error) {
	got, err := b.p.engine.ExecInspect(ctx, id, client.ExecInspectOptions{})
	return !got.Running, err
}

// status asks for an exit status; right after the output ended the engine may not know it yet.
func (p *Provider) status(ctx context.Context, id string) (int, error) {
	for pause := time.Millisecond; ; pause *= 2 {
		got, err := p.engine.ExecInspect(ctx, id, client.ExecInspectOptions{})
		switch {
		case err != nil:
			return 0, err
		case !got.Running:
			return got.ExitCode, nil
		case pause > time.Second:
			return 0, fmt.Errorf("%w: the engine does not tell the end of a command", sandbox.ErrLost)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// kill kills the process group of an exec, once its process id is known.
func (b *box) kill(ctx context.Context, pid <-chan int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	select {
	case n := <-pid:
		// The engine makes each exec the leader of a session and a group.
		_, err := b.exec(ctx, sandbox.Command{User: "0", Dir: "/", Script: "kill -KILL -- -" + strconv.Itoa(n)})
		if err != nil {
			b.p.log.Warn("command not killed", "container", b.id, "pid", n, "error", err)
		}
	case <-ctx.Done():
	}
}

// memory is what the control group of a container tells; what cannot be learnt is 0.
type memory struct {
	kills       int   // of processes, for want of memory
	peak, limit int64 // bytes
}

// memory asks in the container, which has its own control group in view in both versions of them.
func (b *box) memory(ctx context.Context) memory {
	var out bytes.Buffer
	_, err := b.Exec(ctx, sandbox.Command{
		Label:  "memory counters",
		User:   "0",
		Dir:    "/",
		Stdout: &out,
		Script: `cd /sys/fs/cgroup || exit; cat memory.events memory/memory.oom_control 2>/dev/null
echo peak $(cat memory.peak memory/memory.max_usage_in_bytes 2>/dev/null)
echo limit $(cat memory.max memory/memory.limit_in_bytes 2>/dev/null)`,
	})
	if err != nil {
		return memory{}
	}
	var m memory
	for line := range strings.Lines(out.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseInt(value, 10, 64) // "max" is none
		switch name {
		case "oom_kill":
			m.kills = int(n)
		case "peak":
			m.peak = n
		case "limit":
			m.limit = n
		}
	}
	return m
}

// words tell the limit and how much was used, as far as that is known.
func (m memory) words() string {
	switch {
	case m.limit > 0 && m.peak > 0:
		return fmt.Sprintf(": the limit is %d MiB, and %d MiB were used", m.limit>>20, m.peak>>20)
	case m.limit > 0:
		return fmt.Sprintf(": the limit is %d MiB", m.limit>>20)
	}
	return ""
}

// unknownUser says it in words; the engine's message is about files of its runtime.
func unknownUser(user string, err error) error {
	if user != "" && saysAny(err, "unable to find user", "no matching entries in passwd") {
		return fmt.Errorf("the image has no user %q", user)
	}
	if user != "" && saysAny(err, "unable to upgrade to tcp, received 500") { // all that podman tells
		return fmt.Errorf("the image has no user %q, it seems: %w", user, err)
	}
	if cerrdefs.IsConflict(err) { // "container is not running"
		return errors.Join(sandbox.ErrLost, err)
	}
	return err
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// pidLine takes the wrapper's first line off stderr and passes on the rest.
type pidLine struct {
	next  io.Writer
	pid   chan<- int
	first []byte
	done  bool
	// foreign is what came in place of a process id: of the dynamic linker, or of podman's runtime if it could not start the wrapper.
	foreign string
}

// isRuntimes reports whether the runtime spoke in place of the command.
func (p *pidLine) isRuntimes() bool {
	return strings.Contains(p.foreign, "OCI runtime") || strings.Contains(p.foreign, "OCI permission")
}

func (p *pidLine) Write(b []byte) (int, error) {
	if p.done {
		return p.next.Write(b)
	}
	p.first = append(p.first, b...)
	line, rest, whole := bytes.Cut(p.first, []byte("\n"))
	if !whole {
		return len(b), nil
	}
	p.done = true
	n, err := strconv.Atoi(string(line))
	if err == nil {
		p.pid <- n
	} else {
		p.foreign, rest = string(p.first), p.first
	}
	p.first = nil
	if len(rest) > 0 {
		if _, err := p.next.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// preface passes on what is written and keeps the beginning.
type preface struct {
	next io.Writer
	bytes.Buffer
}

func (p *preface) Write(b []byte) (int, error) {
	if room := 1000 - p.Len(); room > 0 {
		p.Buffer.Write(b[:min(room, len(b))])
	}
	return p.next.Write(b)
}
