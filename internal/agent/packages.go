package agent

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"oddish/internal/tarball"
)

// Packages keeps the programs of agents on the worker's machine, each as one archive that is unpacked into sandboxes: it is made once for a
// version and a platform, not once a trial. It is safe for concurrent use; processes may share the folders.
type Packages struct {
	// Dir is where archives are kept that were made here; empty: none are.
	Dir string
	// Given is a folder with archives of the same names that somebody has put there, for workers without a network; empty: there is none.
	Given string
	Log   *slog.Logger

	mu     sync.Mutex
	making map[string]chan struct{} // holds a token while the archive is being made
}

// platform is what a program must fit.
type platform struct {
	Arch string // as the kernel names it: x86_64, aarch64
	Libc string // glibc or musl
}

// cpu gives npm's word.
func (p platform) cpu() string {
	if p.Arch == "aarch64" {
		return "arm64"
	}
	return "x64"
}

// archiveName gives the name of an agent's archive.
func archiveName(agent, version string, p platform) string {
	return fmt.Sprintf("%s-%s-linux-%s-%s.tar.gz", agent, version, p.Arch, p.Libc)
}

// errNotHere: this machine cannot make the archive; a sandbox may.
var errNotHere = errors.New("cannot be made on this machine")

// get gives the archive's path, making it if it is not there yet. While one caller makes it, others for the same wait. errNotHere: it must be
// installed inside the sandbox.
func (p *Packages) get(ctx context.Context, d *Definition, version string, on platform) (string, error) {
	if p == nil {
		return "", errNotHere
	}
	name := archiveName(d.Name, version, on)
	done, err := p.enter(ctx, name)
	if err != nil {
		return "", err
	}
	defer done()
	for _, dir := range []string{p.Given, p.Dir} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); dir != "" && err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	if p.Dir == "" || d.Package.NPM == "" {
		return "", errNotHere
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errNotHere
	}
	return p.make(ctx, npm, d, version, on)
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

// make installs the package with npm into a folder of its own and packs that. No script of any package is run: what is downloaded is only
// unpacked here, and runs in sandboxes.
func (p *Packages) make(ctx context.Context, npm string, d *Definition, version string, on platform) (string, error) {
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
	args := append([]string{"install", "--prefix", prefix, "--ignore-scripts", "--no-audit", "--no-fund", "--no-bin-links", "--no-save", "--loglevel=error",
		"--os=linux", "--cpu=" + on.cpu(), "--libc=" + on.Libc}, d.npmPackages(version, on)...)
	cmd := exec.CommandContext(ctx, npm, args...)
	cmd.Dir = prefix
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("npm install %s: %w: %s", strings.Join(d.npmPackages(version, on), " "), err, lastWords(out, 600))
	}
	final := filepath.Join(p.Dir, archiveName(d.Name, version, on))
	if err := packPrefix(prefix, filepath.Join(dir, "archive")); err != nil {
		return "", fmt.Errorf("pack agent %s: %w", d.Name, err)
	}
	return final, os.Rename(filepath.Join(dir, "archive"), final)
}

// npmPackages are what must be installed: the agent, and Node if it needs that and the platform can have it from npm.
func (d *Definition) npmPackages(version string, on platform) []string {
	list := []string{d.Package.NPM + "@" + version}
	if d.Package.Script != "" && on.Libc == "glibc" {
		list = append(list, "node-linux-"+on.cpu()+"@"+nodeVersion)
	}
	return list
}

// nodeVersion is the Node that agents bring along, so that they need none in the image.
const nodeVersion = "22"

// packPrefix packs a folder. Speed counts more than size: the archive is unpacked for every trial.
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
