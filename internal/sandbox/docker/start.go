package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/docker/link"
)

// keepAlive is the container's command: it does nothing, ends at TERM, and as process 1 reaps
// the orphans of the sandbox, which a bare sleep would not.
const keepAlive = `trap "exit 0" TERM INT; while :; do sleep 3600 & wait $!; done`

// pidsLimit bounds the processes of a container, so that a fork bomb ends inside it.
const pidsLimit = 4096

// createTimeout bounds the making of a container, which a busy engine may take seconds for.
const createTimeout = time.Minute

// removeTimeout bounds the removal of a container whose start or use was given up.
const removeTimeout = 30 * time.Second

// Start makes a running container; see sandbox.Provider.
func (p *Provider) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := p.supported(spec); err != nil {
		return nil, err
	}
	if err := p.room(ctx); err != nil {
		return nil, fmt.Errorf("start container for %s: %w", spec.Name, err)
	}
	if spec.Compose != nil {
		return p.startProject(ctx, spec)
	}
	b, err := p.make(ctx, spec)
	if err != nil {
		return nil, err
	}
	err = b.boot(ctx)
	if err == nil {
		err = b.connect(ctx, spec)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		if rm := b.Stop(ctx); rm != nil {
			p.log.Warn("container left behind", "container", b.id, "error", rm)
		}
		return nil, fmt.Errorf("start container for %s: %w", spec.Name, err)
	}
	return b, nil
}

// connect gives the running container its network and the worker's service.
func (b *box) connect(ctx context.Context, spec sandbox.Spec) error {
	var both errgroup.Group
	both.Go(func() error { return b.offer(ctx, spec.ServiceSocket) })
	if b.p.links(spec.Network) {
		both.Go(func() error { return b.makeLink(ctx, spec.Network, spec.Options) })
	}
	return both.Wait()
}

// make makes the image ready and the container of it: once more if the image was pruned in between.
func (p *Provider) make(ctx context.Context, spec sandbox.Spec) (*box, error) {
	for again := false; ; again = true {
		image, err := p.image(ctx, spec.Image, spec.BuildLog)
		if err != nil {
			return nil, err
		}
		b, err := p.create(ctx, spec, image)
		switch {
		case err == nil:
			return b, nil
		case again || !cerrdefs.IsNotFound(err):
			return nil, fmt.Errorf("create container for %s: %w", spec.Name, err)
		}
	}
}

// create makes the container. It waits for the engine even if ctx ends meanwhile, because a request that is
// cut off may still be carried out, and nobody would know of the container.
func (p *Provider) create(ctx context.Context, spec sandbox.Spec, image string) (*box, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	engine, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	host := hostConfig(spec)
	host.ShmSize = sharedMemory(spec, engine)
	switch {
	case p.links(spec.Network):
		host.NetworkMode = noNetwork
		host.DNS = []netip.Addr{netip.MustParseAddr(link.NameServer)}
	case spec.Network.Mode == sandbox.NetworkNone:
		host.NetworkMode = noNetwork
	}
	if host.Mounts, err = p.mounts(spec); err != nil {
		return nil, err
	}
	made, err := p.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:       containerName(spec.Name),
		Config:     containerConfig(spec, image),
		HostConfig: host,
	})
	if err != nil {
		return nil, notMounted(spec, err)
	}
	return &box{p: p, id: made.ID, workdir: spec.Workdir}, nil
}

// supported refuses what a container does not have.
func (p *Provider) supported(spec sandbox.Spec) error {
	var what string
	switch {
	case spec.Image.Host:
		what = "the image `host` (the machine's own tools): give the task an environment/Dockerfile or a docker_image, or use --env builtin"
	case spec.Image.Reference == "" && spec.Image.Context == "" && spec.Compose == nil:
		what = "a task without docker_image and without environment/Dockerfile"
	case spec.Resources.GPUs > 0 && !p.gpus.Load():
		what = "gpus: this engine has neither NVIDIA's runtime nor found such devices (install the NVIDIA container toolkit)"
	case spec.Resources.GPUs > 0 && spec.Compose != nil:
		what = "gpus for tasks with services"
	default:
		if _, err := sandbox.AllowPrivate(Kind, spec.Options); err != nil {
			return err
		}
		return p.supportedNetwork(spec.Network)
	}
	return fmt.Errorf("%w: docker does not have %s", sandbox.ErrUnsupported, what)
}

var notInNames = regexp.MustCompile(`[^a-zA-Z0-9_.-]+`)

// containerName makes a legal and unique name of a sandbox's, whose start stays readable.
func containerName(name string) string {
	return fmt.Sprintf("oddish-%.48s-%08x", notInNames.ReplaceAllString(name, "-"), rand.Uint32())
}

func containerConfig(spec sandbox.Spec, image string) *container.Config {
	labels := map[string]string{}
	maps.Copy(labels, spec.Labels)
	labels[labelOwner] = spec.Owner
	labels[labelName] = spec.Name
	var env []string
	for _, k := range slices.Sorted(maps.Keys(spec.Env)) {
		env = append(env, k+"="+spec.Env[k])
	}
	return &container.Config{
		Image:       image,
		Cmd:         []string{"sh", "-c", keepAlive},
		Env:         env,
		WorkingDir:  spec.Workdir,
		Labels:      labels,
		StopTimeout: new(int),                                        // podman waits that long before it kills; nothing here wants to be asked
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}}, // the task's own is run by the trial
	}
}

func hostConfig(spec sandbox.Spec) *container.HostConfig {
	pids := int64(pidsLimit)
	h := &container.HostConfig{
		Resources: container.Resources{
			NanoCPUs:   int64(spec.Resources.CPUs * 1e9),
			Memory:     spec.Resources.MemoryBytes,
			MemorySwap: spec.Resources.MemoryBytes, // as much as Memory: no swap on top
			PidsLimit:  &pids,
		},
		LogConfig: container.LogConfig{Type: "none"},
	}
	if n := spec.Resources.StorageBytes; n > 0 {
		// Engines bound the disk of a container only on few file systems. What they can bound everywhere is one file, and
		// a file without end is what fills disks.
		h.Ulimits = []*container.Ulimit{{Name: "fsize", Soft: n, Hard: n}}
	}
	if n := spec.Resources.GPUs; n > 0 {
		h.DeviceRequests = []container.DeviceRequest{{Count: n, Capabilities: [][]string{{"gpu"}}}}
	}
	return h
}

// sharedMemory is the size of /dev/shm. What is in it counts as the container's memory, so that limit is enough; docker's own 64 MB are too few for browsers. Without a limit
// it is half of the machine's memory, as Linux has it.
func sharedMemory(spec sandbox.Spec, engine *traits) int64 {
	const least = 64 << 20
	if n := spec.Resources.MemoryBytes; n > 0 {
		return max(n, least)
	}
	return max(engine.memory/2, least)
}

// boot puts the folders in place that every sandbox has, and starts the container.
func (b *box) boot(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := b.p.engine.CopyToContainer(ctx, b.id, client.CopyToContainerOptions{
		DestinationPath: "/",
		Content:         folders(),
	})
	if err != nil {
		return fmt.Errorf("make /logs: %w", err)
	}
	if _, err := b.p.engine.ContainerStart(ctx, b.id, client.ContainerStartOptions{}); err != nil {
		return err
	}
	return b.running(ctx)
}

// folders is a tar stream of /logs and of the supervisor's folder.
func folders() *bytes.Reader {
	dirs := []struct {
		name string
		mode fs.FileMode
	}{
		{"logs", 0o755}, {"logs/agent", 0o777}, {"logs/verifier", 0o777}, {"logs/artifacts", 0o777},
		{"oddish", 0o755}, {strings.TrimPrefix(sandbox.RunDir, "/"), 0o1777},
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, d := range dirs {
		// Writing to memory cannot fail.
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d.name + "/", Mode: int64(d.mode)})
	}
	_ = w.Close()
	return bytes.NewReader(buf.Bytes())
}
