package trial

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

// local is a provider whose sandboxes are folders of this machine: commands run as ordinary processes, with the
// paths of a sandbox replaced by paths of the folder, also in uploaded scripts. It isolates
// nothing, and is here so that what the trial asks of sh is really asked of sh.
type local struct {
	dir   string
	caps  sandbox.Capabilities
	mu    sync.Mutex
	boxes []*localBox
}

func newLocal(t *testing.T) *local {
	return &local{dir: t.TempDir(), caps: sandbox.Capabilities{HostImage: true, Images: true, Build: true, NoNetwork: true}}
}

func (l *local) Kind() string                       { return "local" }
func (l *local) Capabilities() sandbox.Capabilities { return l.caps }
func (l *local) Check(context.Context) error        { return nil }
func (l *local) Attach(context.Context, string) (sandbox.Sandbox, error) {
	return nil, sandbox.ErrNotFound
}
func (l *local) List(context.Context, string) ([]sandbox.Info, error) { return nil, nil }
func (l *local) Start(_ context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &localBox{root: filepath.Join(l.dir, fmt.Sprint(len(l.boxes))), spec: s}
	for _, dir := range []string{"/logs/agent", "/logs/verifier", "/logs/artifacts", "/app"} {
		if err := os.MkdirAll(b.host(dir), 0o777); err != nil {
			return nil, err
		}
	}
	l.boxes = append(l.boxes, b)
	return b, nil
}

type localBox struct {
	root    string
	spec    sandbox.Spec
	mu      sync.Mutex
	users   []string // label=user
	stopped bool
}

func (b *localBox) ID() string           { return b.root }
func (b *localBox) host(p string) string { return filepath.Join(b.root, filepath.FromSlash(p)) }
func (b *localBox) workdir() string {
	if b.spec.Workdir != "" {
		return b.spec.Workdir
	}
	return "/app"
}

var boxPath = regexp.MustCompile(`(^|[^\w/.-])(/(?:logs|tests|solution|app)\b)`)

func (b *localBox) translate(s string) string {
	return boxPath.ReplaceAllString(s, "${1}"+b.root+"${2}")
}

func (b *localBox) command(ctx context.Context, c sandbox.Command) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", b.translate(c.Script))
	dir := c.Dir
	if dir == "" {
		dir = b.workdir()
	}
	cmd.Dir = b.host(dir)
	env := maps.Clone(b.spec.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, c.Env)
	cmd.Env = os.Environ()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+b.translate(v))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	b.mu.Lock()
	b.users = append(b.users, c.Label+"="+c.User)
	b.mu.Unlock()
	return cmd
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() < 0 {
			return 137, nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

func (b *localBox) Exec(ctx context.Context, c sandbox.Command) (int, error) {
	if c.Label == "pwd" { // it would give a path of this machine
		_, err := io.WriteString(c.Stdout, b.workdir()+"\n")
		return 0, err
	}
	cmd := b.command(ctx, c)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return exitCode(err)
}

func (b *localBox) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	limit := p.Timeout
	if limit == 0 {
		limit = time.Hour
	}
	timed, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	cmd := b.command(timed, p.Command)
	f, err := os.Create(b.host(p.Output))
	if err != nil {
		return sandbox.Exit{}, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	code, err := exitCode(cmd.Run())
	if err != nil {
		return sandbox.Exit{}, err
	}
	if p.Live != nil {
		data, err := os.ReadFile(b.host(p.Output))
		if err == nil {
			p.Live.Write(data)
		}
	}
	return sandbox.Exit{Code: code, TimedOut: timed.Err() != nil}, nil
}

func (b *localBox) Upload(_ context.Context, dst string, r io.Reader) error {
	tr := tar.NewReader(r)
	if err := os.MkdirAll(b.host(dst), 0o755); err != nil {
		return err
	}
	for {
		h, err := tr.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		name := b.host(path.Join(dst, h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, name)
		default:
			var data []byte
			if data, err = io.ReadAll(tr); err == nil {
				err = os.WriteFile(name, []byte(b.translate(string(data))), fs.FileMode(h.Mode))
			}
		}
		if err != nil {
			return err
		}
	}
}

func (b *localBox) Download(_ context.Context, src string, w io.Writer) error {
	top := b.host(src)
	info, err := os.Lstat(top)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", src, sandbox.ErrNotFound)
	}
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	base := top
	if !info.IsDir() {
		base = filepath.Dir(top)
	}
	err = filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(base, p)
		if err != nil || rel == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			link, _ = os.Readlink(p)
			link = strings.TrimPrefix(link, b.root)
		}
		h, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		h.Name = rel
		var data []byte
		if info.Mode().IsRegular() {
			if data, err = os.ReadFile(p); err != nil {
				return err
			}
			h.Size = int64(len(data))
		}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err = io.Copy(tw, bytes.NewReader(data))
		return err
	})
	if err != nil {
		return err
	}
	return tw.Close()
}

func (b *localBox) SetNetwork(context.Context, sandbox.Network) error { return sandbox.ErrUnsupported }

func (b *localBox) Stop(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	return nil
}
