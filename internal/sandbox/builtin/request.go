//go:build linux && (amd64 || arm64)

package builtin

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oddish/internal/image"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/netpeer"
)

const (
	// defaultWorkdir is where commands run when the spec does not say: the
	// machine's own file system has no place of the kind.
	defaultWorkdir = "/app"
	// defaultStorage bounds what a sandbox may write when the spec does not say, in bytes.
	defaultStorage = 10 << 30
)

// newRecord turns a spec into what a shim is told, or refuses it. img is nil for this machine's own tools.
func (p *Provider) newRecord(id string, spec sandbox.Spec, img *image.Image) (record, error) {
	private, err := sandbox.AllowPrivate(Kind, spec.Options)
	if err != nil {
		return record{}, err
	}
	r := record{
		Name:          spec.Name,
		Owner:         spec.Owner,
		Labels:        spec.Labels,
		Created:       time.Now().UTC(),
		Env:           environment(hostPath(os.Getenv("PATH")), spec.Env),
		Workdir:       defaultWorkdir,
		Hostname:      id,
		Resources:     spec.Resources,
		Network:       spec.Network,
		AllowPrivate:  private,
		ServiceSocket: spec.ServiceSocket,
		Hide:          p.hide,
	}
	if r.ServiceSocket != "" {
		if r.ServiceSocket, err = filepath.Abs(r.ServiceSocket); err != nil {
			return record{}, fmt.Errorf("service socket: %w", err)
		}
	}
	if img != nil {
		r.useImage(img, spec.Env)
	}
	if spec.Programs != "" {
		if r.Programs, err = filepath.Abs(spec.Programs); err != nil {
			return record{}, fmt.Errorf("folder of programs: %w", err)
		}
	}
	if spec.Workdir != "" {
		r.Workdir = filepath.Clean(spec.Workdir)
	}
	if r.Resources.StorageBytes <= 0 {
		r.Resources.StorageBytes = defaultStorage
	}
	if p.cgroups {
		r.Cgroup = cgroupName(id)
	}
	return r, nil
}

// refuse says what of a spec these sandboxes lack.
func (p *Provider) refuse(spec sandbox.Spec) error {
	img := spec.Image
	switch {
	case !img.Host && img.Reference == "" && img.Context == "":
		return fmt.Errorf("no image was given: %w", sandbox.ErrUnsupported)
	case img.Host && img.Reference != "":
		return fmt.Errorf("a sandbox is made of this machine's tools or of an image, not of both: %w", sandbox.ErrUnsupported)
	case (img.Reference != "" || img.Context != "") && !img.Host && p.images == nil:
		return fmt.Errorf("this builtin sandbox has no store of images: %w", sandbox.ErrUnsupported)
	case spec.Resources.GPUs > 0:
		return fmt.Errorf("the builtin sandbox has no GPUs: %w", sandbox.ErrUnsupported)
	case spec.Workdir != "" && !filepath.IsAbs(spec.Workdir):
		return fmt.Errorf("working directory %q is not an absolute path", spec.Workdir)
	}
	_, err := netpeer.PolicyOf(spec.Network, false)
	return err
}

// environment of every command, as KEY=value; own comes last and so counts.
func environment(path string, own map[string]string) []string {
	env := []string{"PATH=" + path}
	for _, k := range slices.Sorted(maps.Keys(own)) {
		env = setenv(env, k, own[k])
	}
	return env
}

// setenv replaces or adds one variable.
func setenv(env []string, key, value string) []string {
	for i, e := range env {
		if strings.HasPrefix(e, key+"=") {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}

// hostPath is the part of this machine's PATH that exists in a sandbox, and the usual
// places after it, so that tools installed apart (/usr/local/go/bin) are found.
func hostPath(path string) string {
	var out []string
	add := func(dir string) {
		if !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	for _, dir := range filepath.SplitList(path) {
		for _, top := range []string{"/usr", "/opt", "/bin", "/sbin", "/nix/store"} {
			if dir == top || strings.HasPrefix(dir, top+"/") {
				add(filepath.Clean(dir))
			}
		}
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		add(dir)
	}
	return strings.Join(out, ":")
}
