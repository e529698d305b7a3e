package agent

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// fetcher brings a program into the empty folder prefix. No script of any package is run: what is downloaded is only unpacked here, and runs in
// sandboxes. An error that wraps errNotHere says that it must be installed in the sandbox.
type fetcher func(ctx context.Context, prefix string, d *Definition, version string, on platform) error

// fetcherOf gives the way by which the program is had on this machine; nil: there is none.
func fetcherOf(d *Definition, on platform) fetcher {
	switch {
	case d.Package.NPM != "":
		return fetchNPM
	case d.Package.PyPI != "" && on.Python != "":
		return fetchPyPI
	}
	return nil
}

// nodeVersion is the Node that agents bring along, so that they need none in the image.
const nodeVersion = "22"

// npmPackages are what must be installed: the agent, and Node if it needs that and the platform can have it from npm.
func (d *Definition) npmPackages(version string, on platform) []string {
	list := []string{d.Package.NPM + "@" + version}
	if p := d.Package.NPMPlatform; p != "" {
		list[0] = on.fill(p) + "@" + version
	}
	if d.Package.Script != "" && on.Libc == "glibc" {
		list = append(list, "node-linux-"+on.cpu()+"@"+nodeVersion)
	}
	return list
}

func fetchNPM(ctx context.Context, prefix string, d *Definition, version string, on platform) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errNotHere
	}
	args := append([]string{"install", "--prefix", prefix, "--ignore-scripts", "--no-audit", "--no-fund", "--no-bin-links", "--no-save", "--loglevel=error",
		"--os=linux", "--cpu=" + on.cpu(), "--libc=" + on.Libc}, d.npmPackages(version, on)...)
	return runFetch(ctx, prefix, "npm install "+strings.Join(d.npmPackages(version, on), " "), npm, args...)
}

func runFetch(ctx context.Context, dir, what, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", what, err, lastWords(out, 600))
	}
	return nil
}

// siteFolder is the folder of a program from PyPI with its modules.
const siteFolder = "site"

// fetchPyPI installs wheels for the image's Python, which this machine need not have: its pip only unpacks them. What has no wheel would have to be built
// here, by scripts of its own, and so is not.
func fetchPyPI(ctx context.Context, prefix string, d *Definition, version string, on platform) error {
	pip := ""
	for _, name := range []string{"pip3", "pip"} {
		if path, err := exec.LookPath(name); err == nil {
			pip = path
			break
		}
	}
	if pip == "" {
		return errNotHere
	}
	site := filepath.Join(prefix, siteFolder)
	args := []string{"install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-input", "--target", site,
		"--only-binary=:all:", "--implementation", "cp", "--python-version", on.Python}
	for _, tag := range on.wheelTags() {
		args = append(args, "--platform", tag)
	}
	err := runFetch(ctx, prefix, "pip install "+d.Package.PyPI+"=="+version, pip, append(args, d.Package.PyPI+"=="+version)...)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errNotHere, err)
	}
	return err
}

// wheelTags are the platforms whose wheels fit, as PEP 600 and PEP 656 name them, for a C library of the last years.
func (p platform) wheelTags() []string {
	names := []string{"manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010", "manylinux_2_5", "manylinux1"}
	if p.Libc == "musl" {
		names = []string{"musllinux_1_2", "musllinux_1_1"}
	}
	var tags []string
	for _, n := range append(names, "linux") {
		tags = append(tags, n+"_"+p.Arch)
	}
	return tags
}
