package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker/link"
)

// A container has none of the engine's networks but a link to a stack of ours, in which its policy is enforced. A companion, another
// container with this program, carries its packets (package link). It goes with the container.

// labelCompanion is the id of the container that a companion belongs to.
const labelCompanion = "oddish.companion"

// tunFile is where link makes its device.
const tunFile = "/dev/net/tun"

// companionMemory bounds a companion, in bytes: the buffers of its connections.
const companionMemory = 1 << 30

// companionName is found from the container's id, so that nothing need be remembered.
func companionName(id string) string { return "oddish-link-" + id[:min(len(id), 32)] }

var _ sandbox.NetworkLogger = (*box)(nil)

// NetworkLog writes what was tried over the link; see sandbox.NetworkLogger. Without a link nothing is known of it.
func (b *box) NetworkLog(ctx context.Context, to io.Writer) error {
	err := b.p.output(ctx, companionName(b.id), to, io.Discard)
	if err != nil && !cerrdefs.IsNotFound(err) {
		return fmt.Errorf("read the log of connections of container %s: %w", b.id, err)
	}
	return nil
}

// output copies what a container has said so far.
func (p *Provider) output(ctx context.Context, id string, stdout, stderr io.Writer) error {
	logs, err := p.engine.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return err
	}
	defer logs.Close()
	_, err = stdcopy.StdCopy(stdout, stderr, logs)
	return err
}

// linked tells whether the container has a link.
func (b *box) linked(ctx context.Context) (bool, error) {
	_, err := b.p.engine.ContainerInspect(ctx, companionName(b.id), client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// linkTimeout bounds the start of a companion.
const linkTimeout = time.Minute

// makeLink starts the companion with the policy in force.
func (b *box) makeLink(ctx context.Context, policy sandbox.Network, options map[string]string) error {
	private, err := sandbox.AllowPrivate(Kind, options)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	got, err := b.p.engine.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	if err := b.p.startCompanion(ctx, got.Container, link.Serve(got.Container.State.Pid, policy, private)); err != nil {
		return fmt.Errorf("link the container to the network: %w", err)
	}
	return nil
}

// startCompanion makes a companion of a container and waits until it serves.
func (p *Provider) startCompanion(ctx context.Context, of container.InspectResponse, args []string) error {
	if err := p.createCompanion(ctx, of, args); err != nil {
		return notLinked(err)
	}
	name := companionName(of.ID)
	conn, err := p.engine.ContainerAttach(ctx, name, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = p.engine.ContainerStart(ctx, name, client.ContainerStartOptions{})
	if err == nil {
		return notLinked(awaitReady(ctx, conn.HijackedResponse))
	}
	if why := notLinked(err); errors.Is(why, sandbox.ErrUnsupported) || ctx.Err() != nil {
		return why
	}
	return relayFault(err.Error())
}

// createCompanion waits for the engine even if ctx ends meanwhile, as create does.
func (p *Provider) createCompanion(ctx context.Context, of container.InspectResponse, args []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	_, err := p.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: companionName(of.ID),
		Config: &container.Config{
			Image:       of.Image, // one that is there; nothing of it is run
			Entrypoint:  []string{relayPath},
			Cmd:         args,
			User:        "0",
			WorkingDir:  "/",
			Labels:      companionLabels(of.Config.Labels, of.ID),
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
		HostConfig: p.companionHost(),
	})
	return err
}

// notLinked explains why there is no companion, where the engine's machine does not let it be.
func notLinked(err error) error {
	const remedy = "set ODDISH_DOCKER_BRIDGE=true to do without, but for allowlists"
	switch {
	case err == nil:
		return nil
	case notSeen(err):
		return fmt.Errorf("%w: the engine does not see this machine's files, and our program with which containers are linked to a network stack of ours: run the worker on the engine's machine, or %s: %w", sandbox.ErrUnsupported, remedy, err)
	case saysAny(err, tunFile):
		return fmt.Errorf("%w: the engine's machine has no %s, by which containers are linked to a network stack of ours: load the kernel's module tun, or %s: %w", sandbox.ErrUnsupported, tunFile, remedy, err)
	case saysAny(err, "operation not permitted", "permission denied"):
		return fmt.Errorf("%w: the engine does not let a container of ours enter the network of another, by which that is linked to a network stack of ours: %s: %w", sandbox.ErrUnsupported, remedy, err)
	}
	return err
}

// companionLabels are those of the container, so that it is removed like it where it is all that is left.
func companionLabels(of map[string]string, id string) map[string]string {
	return map[string]string{labelOwner: of[labelOwner], labelName: of[labelName], labelCompanion: id}
}

// companionHost gives the companion what it needs to enter the network of another container, which it gives up then.
func (p *Provider) companionHost() *container.HostConfig {
	pids := int64(256)
	return &container.HostConfig{
		NetworkMode:    "host",
		PidMode:        "host",
		UsernsMode:     "host",
		CapDrop:        []string{"ALL"},
		CapAdd:         []string{"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SETUID", "SETGID"},
		SecurityOpt:    []string{"apparmor=unconfined"}, // its usual profile keeps /proc of other containers closed
		ReadonlyRootfs: true,
		Mounts: []mount.Mount{
			{Type: mount.TypeBind, Source: p.program, Target: relayPath, ReadOnly: true},
			{Type: mount.TypeTmpfs, Target: link.ControlDir},
		},
		Resources: container.Resources{
			Memory: companionMemory, PidsLimit: &pids,
			Devices: []container.DeviceMapping{{PathOnHost: tunFile, PathInContainer: tunFile, CgroupPermissions: "rw"}},
		},
		LogConfig: container.LogConfig{Type: "json-file"}, // bounded by netpeer.MaxLog
	}
}

// nameServer is that of what starts with a link, "" without.
func nameServer(policy sandbox.Network) string {
	if policy.Mode == sandbox.NetworkAllowlist {
		return link.NameServer
	}
	return ""
}

// useLinkNames makes the container ask the link for names, and a project's own name server first.
func (b *box) useLinkNames(ctx context.Context) error {
	script := fmt.Sprintf(`own=$(grep '^nameserver 127\.0\.0\.11' /etc/resolv.conf); { [ -z "$own" ] || echo "$own"; echo nameserver %s; } >/etc/resolv.conf`, link.NameServer)
	var said bytes.Buffer
	status, err := b.Exec(ctx, sandbox.Command{Label: "network", Script: script, User: "0", Dir: "/", Stdout: &said, Stderr: &said})
	if err := failed(status, err, said.String()); err != nil {
		return fmt.Errorf("set the container's name server: %w", err)
	}
	return nil
}

// failed makes an error of an exit status that is not 0.
func failed(status int, err error, said string) error {
	if err == nil && status != 0 {
		err = fmt.Errorf("status %d: %s", status, strings.TrimSpace(said))
	}
	return err
}

// tellLink asks the companion for a policy.
func (b *box) tellLink(ctx context.Context, policy sandbox.Network) error {
	var said bytes.Buffer
	status, err := b.p.command(ctx, companionName(b.id), append([]string{relayPath}, link.Set(policy)...), &said)
	if err = failed(status, err, said.String()); err == nil {
		return nil
	}
	if why := b.linkFault(ctx); why != "" {
		err = fmt.Errorf("%w (%s)", err, why)
	}
	return fmt.Errorf("ask the container's network link: %w", err)
}

// linkFault gives the last words of a companion that has ended; "" if it runs.
func (b *box) linkFault(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	got, err := b.p.engine.ContainerInspect(ctx, companionName(b.id), client.ContainerInspectOptions{})
	if err != nil || got.Container.State == nil || got.Container.State.Running {
		return ""
	}
	var said bytes.Buffer
	if err := b.p.output(ctx, companionName(b.id), io.Discard, &said); err != nil {
		return ""
	}
	return "it ended with status " + strconv.Itoa(got.Container.State.ExitCode) + ": " + strings.TrimSpace(said.String())
}

// command runs a program in a container as root and returns its exit status.
func (p *Provider) command(ctx context.Context, id string, args []string, said io.Writer) (int, error) {
	made, err := p.engine.ExecCreate(ctx, id, client.ExecCreateOptions{Cmd: args, User: "0", WorkingDir: "/", AttachStdout: true, AttachStderr: true})
	if err != nil {
		return 0, err
	}
	conn, err := p.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, conn.Close)() // ends the reading
	if _, err := stdcopy.StdCopy(said, said, conn.Reader); err != nil {
		return 0, err
	}
	return p.status(ctx, made.ID)
}
