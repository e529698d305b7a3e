package docker

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
)

// traits are what an engine says of itself and does not change while a worker uses it.
type traits struct {
	podman        bool // it is podman, behind the same API
	os, arch      string
	wantsBuildKit bool   // it recommends BuildKit
	version       string // for people
	memory        int64  // bytes, of the engine's machine
	root          string // folder of images and containers, on the engine's machine
}

// ask gives the engine's traits. It asks once; what was not answered is asked again.
func (p *Provider) ask(ctx context.Context) (*traits, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	if p.told != nil {
		return p.told, nil
	}
	ping, err := p.engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	if err != nil {
		return nil, fmt.Errorf("ask for the engine's builder: %w", err)
	}
	version, err := p.engine.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for the engine's platform: %w", err)
	}
	info, err := p.engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for the engine's folder and memory: %w", err)
	}
	p.told = &traits{
		podman: slices.ContainsFunc(version.Components, func(c system.ComponentVersion) bool { return c.Name == "Podman Engine" }),
		os:     version.Os, arch: version.Arch, root: info.Info.DockerRootDir, memory: info.Info.MemTotal,
		version:       version.Version,
		wantsBuildKit: ping.BuilderVersion == build.BuilderBuildKit,
	}
	return p.told, nil
}

// arguments are those that every build has once they are declared, as far as names of images may have them.
func (t *traits) arguments() map[string]string {
	all := map[string]string{}
	for _, of := range []string{"BUILD", "TARGET"} {
		all[of+"PLATFORM"], all[of+"OS"], all[of+"ARCH"] = t.os+"/"+t.arch, t.os, t.arch
	}
	return all
}

// room is sandbox.ErrDiskFull where too little is free on the disk of an engine on this machine.
func (p *Provider) room(ctx context.Context) error {
	if p.minFree == 0 || !p.local {
		return nil
	}
	engine, err := p.ask(ctx)
	if err != nil {
		return err
	}
	if _, err := os.Stat(engine.root); err != nil { // it may be in a virtual machine, as on a Mac
		p.log.Debug("free space of the engine's disk is not known", "folder", engine.root, "error", err)
		return nil
	}
	return sandbox.Room(engine.root, p.minFree, "see what takes it with `docker system df`, and remove images with `docker image prune --all`, or make room otherwise")
}
