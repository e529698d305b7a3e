package agent

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"oddish/internal/tarball"
)

// Packages keeps the programs of agents on the worker's machine, each as one archive and, for sandboxes that show a folder of this
// machine, unpacked: made once for a version and a platform, not once a trial. It is safe for concurrent use; processes may share the folders.
type Packages struct {
	// Dir is where archives are kept that were made here; empty: none are.
	Dir string
	// Given is a folder with archives of the same names that somebody has put there, for workers without a network; empty: there is none.
	Given string

	mu     sync.Mutex
	making map[string]chan struct{} // holds a token while the program is being made
	failed map[string]error         // what was tried here in vain
}

// platform is what a program must fit.
type platform struct {
	Arch   string // as the kernel names it: x86_64, aarch64
	Libc   string // glibc or musl
	Python string // such as 3.12, for programs that need one; else empty
}

// cpu gives npm's word.
func (p platform) cpu() string {
	if p.Arch == "aarch64" {
		return "arm64"
	}
	return "x64"
}

// programName names an agent's program on this machine.
func programName(agent, version string, p platform) string {
	name := fmt.Sprintf("%s-%s-linux-%s-%s", agent, version, p.Arch, p.Libc)
	if p.Python != "" {
		name += "-py" + p.Python
	}
	return name
}

const archiveEnding = ".tar.gz"

// errNotHere: this machine cannot make the program; a sandbox may.
var errNotHere = errors.New("cannot be made on this machine")

// shownFolder is the folder in Dir with unpacked programs.
const shownFolder = "unpacked"

// Shown gives the folder of this machine with unpacked programs, for sandbox.Spec.Programs; empty: there is none.
func (p *Packages) Shown() (string, error) {
	if p == nil || p.Dir == "" {
		return "", nil
	}
	dir := filepath.Join(p.Dir, shownFolder)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("keep the programs of agents: %w", err)
	}
	return dir, os.Chmod(dir, 0o755) // whatever the umask: users of sandboxes look in here
}

// unpacked gives the name of the program's folder in Shown, making it if it is not there yet.
func (p *Packages) unpacked(ctx context.Context, d *Definition, version string, on platform) (string, error) {
	name := programName(d.Name, version, on)
	shown, err := p.Shown()
	if err != nil {
		return "", err
	}
	final := filepath.Join(shown, name)
	if _, err := os.Stat(final); err == nil {
		return name, nil
	}
	archive, err := p.archive(ctx, d, version, on)
	if err != nil {
		return "", err
	}
	done, err := p.enter(ctx, name)
	if err != nil {
		return "", err
	}
	defer done()
	if _, err := os.Stat(final); err == nil {
		return name, nil
	}
	return name, unpackTo(archive, final)
}

// unpackTo makes a folder of an archive, which appears whole.
func unpackTo(archive, final string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	dir, err := os.MkdirTemp(filepath.Dir(final), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "program")
	_, err = tarball.UnpackGzip(f, made, tarball.UnpackOptions{})
	if err == nil {
		err = os.Chmod(made, 0o755)
	}
	if err != nil {
		return fmt.Errorf("%s is damaged, remove it: %w", archive, err)
	}
	if err = os.Rename(made, final); errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	return err
}

// archive gives the archive's path, making it if it is not there yet. While one caller makes it, others for the same wait. errNotHere: it must be
// installed inside the sandbox.
func (p *Packages) archive(ctx context.Context, d *Definition, version string, on platform) (string, error) {
	if p == nil {
		return "", errNotHere
	}
	name := programName(d.Name, version, on)
	done, err := p.enter(ctx, name)
	if err != nil {
		return "", err
	}
	defer done()
	for _, dir := range []string{p.Given, p.Dir} {
		path := filepath.Join(dir, name+archiveEnding)
		if info, err := os.Stat(path); dir != "" && err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	fetch := fetcherOf(d, on)
	if p.Dir == "" || fetch == nil {
		return "", errNotHere
	}
	if err := p.formerly(name); err != nil {
		return "", err
	}
	path, err := p.make(ctx, d, version, on, fetch)
	if errors.Is(err, errNotHere) {
		p.note(name, err)
	}
	return path, err
}

// formerly gives the error with which it was found out that the program cannot be made here.
func (p *Packages) formerly(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[name]
}

func (p *Packages) note(name string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = map[string]error{}
	}
	p.failed[name] = err
}

// enter lets one caller at a time pass for each name.
func (p *Packages) enter(ctx context.Context, name string) (done func(), err error) {
	p.mu.Lock()
	if p.making == nil {
		p.making = map[string]chan struct{}{}
	}
	token := p.making[name]
	if token == nil {
		token = make(chan struct{}, 1)
		p.making[name] = token
	}
	p.mu.Unlock()
	select {
	case token <- struct{}{}:
		return func() { <-token }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// make brings the program into a folder of its own and packs that.
func (p *Packages) make(ctx context.Context, d *Definition, version string, on platform, fetch fetcher) (string, error) {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return "", fmt.Errorf("keep the programs of agents: %w", err)
	}
	dir, err := os.MkdirTemp(p.Dir, ".new-")
	if err != nil {
		return "", fmt.Errorf("keep the programs of agents: %w", err)
	}
	defer os.RemoveAll(dir)
	prefix := filepath.Join(dir, "prefix")
	if err := os.Mkdir(prefix, 0o755); err != nil {
		return "", fmt.Errorf("keep the programs of agents: %w", err)
	}
	if err := fetch(ctx, prefix, d, version, on); err != nil {
		return "", err
	}
	final := filepath.Join(p.Dir, programName(d.Name, version, on)+archiveEnding)
	if err := packPrefix(prefix, filepath.Join(dir, "archive")); err != nil {
		return "", fmt.Errorf("pack agent %s: %w", d.Name, err)
	}
	return final, os.Rename(filepath.Join(dir, "archive"), final)
}

// packPrefix packs a folder. Speed counts more than size: where sandboxes show no folder of this machine, the archive is unpacked for every trial.
func packPrefix(dir, file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return err
	}
	include := func(rel string, _ bool) bool {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(rel)))
		return err == nil && info.Mode()&(fs.ModeSymlink|fs.ModeIrregular|fs.ModeSocket|fs.ModeNamedPipe|fs.ModeDevice) == 0
	}
	if err := tarball.Pack(z, dir, tarball.PackOptions{Include: include}); err != nil {
		return err
	}
	return z.Close()
}

// upload unpacks the archive into the sandbox's folder.
func upload(ctx context.Context, box Box, archive, dst string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s is damaged, remove it: %w", archive, err)
	}
	return box.Upload(ctx, dst, io.Reader(z))
}

// lastWords gives the end of an output, cleaned of what cannot be shown.
func lastWords(out []byte, most int) string {
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(out), "?"))
}
