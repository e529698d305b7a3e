//go:build linux && (amd64 || arm64)

package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"

	"oddish/internal/sandbox"
)

// validID matches what newID makes.
func validID(id string) bool {
	ok, _ := regexp.MatchString(`^b[a-z2-7]{16}$`, id)
	return ok
}

// Attach returns a sandbox by its id, whichever process started it. One that died
// and was not removed is returned too: what is asked of it fails with the reason,
// and Stop removes it.
func (p *Provider) Attach(_ context.Context, id string) (sandbox.Sandbox, error) {
	if !validID(id) {
		return nil, fmt.Errorf("sandbox %q: %w", id, sandbox.ErrNotFound)
	}
	dir := p.state(id)
	rec, err := dir.readRecord()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("sandbox %s: %w", id, sandbox.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("attach to sandbox %s: %w", id, err)
	}
	s := &box{dir: dir, rec: rec, log: p.log}
	if s.status, err = dir.readStatus(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("attach to sandbox %s: %w", id, err)
	}
	return s, nil
}

// imagesInUse gives the digests of the images that sandboxes are made of, dead ones included.
func (p *Provider) imagesInUse() (map[string]bool, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	used := map[string]bool{}
	for _, e := range entries {
		rec, err := p.state(e.Name()).readRecord()
		if err == nil && rec.Image != "" { // others are just made, or removed
			used[rec.Image] = true
		}
	}
	return used, nil
}

// List reads the state folders. One that another process removes meanwhile is left out.
func (p *Provider) List(ctx context.Context, owner string) ([]sandbox.Info, error) {
	p.removeAbandoned()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	var out []sandbox.Info
	for _, e := range entries {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !e.IsDir() || !validID(e.Name()) {
			continue
		}
		dir := p.state(e.Name())
		rec, err := dir.readRecord()
		if err != nil || owner != "" && rec.Owner != owner {
			continue
		}
		out = append(out, sandbox.Info{
			ID: e.Name(), Name: rec.Name, Owner: rec.Owner, Labels: rec.Labels, Created: rec.Created,
			Running: dir.running(),
		})
	}
	return out, nil
}
