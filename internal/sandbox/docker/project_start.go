package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"oddish/internal/sandbox"
	"oddish/internal/sandbox/compose"
)

// labelProject is on everything of a sandbox of several services, with the name of its project.
const labelProject = "oddish.project"

// lateArrivals is how long a request of a killed plugin may take to be carried out.
const lateArrivals = 300 * time.Millisecond

// mainImage is the name of the main service's image where the task brings none of its own.
const mainImage = "oddish/task:none"

// startProject makes a sandbox of several services.
func (p *Provider) startProject(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	engine, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	if engine.podman {
		return nil, fmt.Errorf("%w: tasks with services need docker's own engine, and this is podman, under which health checks of services are never carried out", sandbox.ErrUnsupported)
	}
	if err := p.plugin.Check(ctx); err != nil {
		return nil, err
	}
	if spec.Compose, err = whole(*spec.Compose); err != nil {
		return nil, fmt.Errorf("start services for %s: %w", spec.Name, err)
	}
	for attempt := 1; ; attempt++ { // a range may be another's, and an image pruned meanwhile
		sb, err := p.tryProject(ctx, spec)
		if err == nil {
			return sb, nil
		}
		if attempt == subnetAttempts || ctx.Err() != nil || !saysAny(err, "Pool overlaps", "No such image") {
			return nil, fmt.Errorf("start services for %s: %w", spec.Name, err)
		}
	}
}

// tryProject makes a sandbox of several services with networks in ranges that others may turn out to have.
func (p *Provider) tryProject(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	name := compose.ProjectName(spec.Name)
	files := compose.Files{Project: name, Dir: spec.Compose.Dir}
	var scratch compose.Scratch
	defer scratch.Close() // all that is needed later is in the engine
	merged, err := p.merge(ctx, spec, &scratch, &files)
	if err != nil {
		return nil, err
	}
	if err := p.serviceImages(ctx, spec, merged); err != nil {
		return nil, err
	}
	sb, err := p.up(ctx, spec, files)
	if err != nil {
		p.giveUp(ctx, name)
		return nil, err
	}
	return sb, nil
}

// merge writes the project that a trial gets of its compose files, and lets files name it alone.
func (p *Provider) merge(ctx context.Context, spec sandbox.Spec, scratch *compose.Scratch, files *compose.Files) (*compose.Project, error) {
	if !p.unsafe {
		if err := compose.VetFiles(spec.Compose.Dir, spec.Compose.Files); err != nil {
			return nil, err
		}
	}
	engine, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	base := compose.Base{Spec: spec, Command: []string{"sh", "-c", keepAlive}, Image: mainImage, Shm: sharedMemory(spec, engine)}
	if spec.Image.Digest != "" {
		base.Image = imageTag(spec.Image.Digest)
	}
	if err := writeFiles(base, scratch, files); err != nil {
		return nil, err
	}
	merged, err := p.plugin.Merge(ctx, *files)
	if err != nil {
		return nil, err
	}
	closing, err := p.closing(base, files.Project)
	if err != nil {
		return nil, err
	}
	closing.Claim(merged)
	if !p.unsafe {
		if err := merged.Vet(spec.Compose.Dir); err != nil {
			return nil, err
		}
	}
	notes, err := merged.Close(*closing)
	if err != nil {
		return nil, err
	}
	for _, n := range notes {
		p.log.Warn("compose: "+n, "sandbox_name", spec.Name)
	}
	return merged, writeMerged(merged, scratch, files)
}

// writeMerged lets files name a merged project alone.
func writeMerged(merged *compose.Project, scratch *compose.Scratch, files *compose.Files) error {
	data, err := merged.JSON()
	if err != nil {
		return err
	}
	path, err := scratch.Write("project.json", data)
	files.Names, files.EnvFile = []string{path}, ""
	return err
}

// writeFiles puts our files before and after the task's.
func writeFiles(base compose.Base, scratch *compose.Scratch, files *compose.Files) error {
	before, err := base.Before()
	if err != nil {
		return err
	}
	after, err := base.After()
	if err != nil {
		return err
	}
	first, err := scratch.Write("before.json", before)
	if err != nil {
		return err
	}
	if files.EnvFile, err = scratch.Write("variables", compose.Environment(base.Variables())); err != nil {
		return err
	}
	last, err := scratch.Write("after.json", after)
	files.Names = slices.Concat([]string{first}, base.Spec.Compose.Files, []string{last})
	return err
}

func (p *Provider) closing(base compose.Base, project string) (*compose.Closing, error) {
	spec := base.Spec
	labels := map[string]string{}
	maps.Copy(labels, spec.Labels)
	labels[labelOwner], labels[labelName], labels[labelProject] = spec.Owner, spec.Name, project
	mounts, err := p.mounts(spec)
	if err != nil {
		return nil, err
	}
	c := &compose.Closing{NameServer: nameServer(spec.Network), Base: base, Project: project, Labels: labels, Pids: pidsLimit, DigestLabel: labelDigest, Subnet: p.subnet, ImageTag: imageTag}
	for _, m := range mounts {
		c.Mounts = append(c.Mounts, compose.Mount{Source: m.Source, Target: m.Target})
	}
	return c, nil
}

// serviceImages makes the images of all services ready, each once however many trials want it.
func (p *Provider) serviceImages(ctx context.Context, spec sandbox.Spec, project *compose.Project) error {
	for _, service := range slices.Sorted(slices.Values(project.Services())) {
		image, build := project.Image(service)
		var err error
		switch {
		case build:
			err = p.shared(ctx, "build "+image, spec.BuildLog, func(ctx context.Context, out io.Writer) error {
				return p.buildService(ctx, spec, project, service, image, out)
			})
		case spec.Image.Digest != "" && image == imageTag(spec.Image.Digest):
			_, err = p.image(ctx, spec.Image, spec.BuildLog)
		default:
			_, err = p.image(ctx, sandbox.Image{Reference: image}, nil)
		}
		if err != nil {
			return fmt.Errorf("image of the service %s: %w", service, err)
		}
	}
	return nil
}

// buildService lets the plugin build an image unless it is there. It has its own file of the project: the trial that began it may be gone meanwhile.
func (p *Provider) buildService(ctx context.Context, spec sandbox.Spec, project *compose.Project, service, image string, out io.Writer) error {
	if !spec.Image.ForceBuild {
		if has, err := p.isBuilt(ctx, image); has || err != nil {
			return err
		}
	}
	if err := p.builds.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("wait for other image builds: %w", err)
	}
	defer p.builds.Release(1)
	var scratch compose.Scratch
	defer scratch.Close()
	files := compose.Files{Project: project.Name(), Dir: spec.Compose.Dir}
	if err := writeMerged(project, &scratch, &files); err != nil {
		return err
	}
	p.log.Info("building image", "image", image, "service", service)
	err := p.plugin.Build(ctx, files, service, out)
	switch {
	case err == nil:
		_, err = p.isBuilt(ctx, image)
		return err
	case !networkTrouble(err):
		return fmt.Errorf("%w: %w", sandbox.ErrBuild, err)
	}
	return err
}

// up makes and starts all services.
func (p *Provider) up(ctx context.Context, spec sandbox.Spec, files compose.Files) (*project, error) {
	if err := p.plugin.Create(ctx, files); err != nil {
		return nil, notMounted(spec, err)
	}
	sb := &project{name: files.Project, box: box{p: p, workdir: spec.Workdir}}
	main, err := sb.container(ctx, compose.MainService)
	if err != nil {
		return nil, err
	}
	sb.id = main.ID
	if err := sb.prepare(ctx); err != nil {
		return nil, err
	}
	// The bridge is there when services start; a link needs their processes.
	linked := spec.Network.Mode == sandbox.NetworkAllowlist
	if !linked {
		if err := sb.setNetwork(ctx, spec.Network); err != nil {
			return nil, fmt.Errorf("give the services the network: %w", err)
		}
	}
	if err := p.plugin.Up(ctx, files); err != nil {
		return nil, sb.whyNotUp(ctx, err)
	}
	if err := sb.running(ctx); err != nil {
		return nil, err
	}
	if linked {
		if err := sb.setNetwork(ctx, spec.Network); err != nil {
			return nil, fmt.Errorf("give the services the network: %w", err)
		}
	}
	_, err = sb.box.Exec(ctx, sandbox.Command{ // they may be volumes, which are root's
		Label: "folders", User: "0", Dir: "/", Script: "chmod 0777 /logs/agent /logs/verifier /logs/artifacts",
	})
	if err != nil {
		return nil, err
	}
	return sb, sb.offer(ctx, spec.ServiceSocket)
}

// prepare puts the folders in place that every sandbox has.
func (s *project) prepare(ctx context.Context) error {
	_, err := s.p.engine.CopyToContainer(ctx, s.id, client.CopyToContainerOptions{DestinationPath: "/", Content: folders()})
	if err != nil {
		return fmt.Errorf("make /logs: %w", err)
	}
	return nil
}

// whyNotUp adds to the plugin's words those of the services that ended or are unhealthy.
func (s *project) whyNotUp(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	said := &sandbox.Tail{Most: 2000}
	names, listed := s.Services(ctx)
	if listed != nil {
		return err
	}
	for _, name := range names {
		c, found := s.container(ctx, name)
		if found != nil || c.State == "running" && c.Health != nil && c.Health.Status != "unhealthy" {
			continue
		}
		log := &sandbox.Tail{Most: 600}
		if s.ServiceLog(ctx, name, log) == nil && len(log.Data) > 0 {
			fmt.Fprintf(said, "\n%s said: %s", name, log.Data)
		}
	}
	return fmt.Errorf("%w%s", err, said.Data)
}

// giveUp removes what was made of a project whose start failed.
func (p *Provider) giveUp(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	err := p.removeProject(ctx, name)
	if err == nil { // what the plugin had asked for when it was killed may appear only now
		_ = sandbox.Pause(ctx, lateArrivals)
		err = p.removeProject(ctx, name)
	}
	if err != nil {
		p.log.Warn("services left behind", "project", name, "error", err)
	}
}

// subnetAttempts bounds how often ranges are chosen that others have.
const subnetAttempts = 6

// subnet chooses one of 2048 address ranges for a network of a project. They are those for measuring networks (RFC 2544): nothing on the internet has them, and this
// machine gets no address there. The other half of them stands for the names of allowlists (package netpeer).
func subnet() string {
	n := rand.IntN(2048)
	return fmt.Sprintf("198.19.%d.%d/27", n>>3, n&7<<5)
}

// isGone reports whether a thing of the engine's is not there, or is being removed.
func isGone(err error) bool { return cerrdefs.IsNotFound(err) || cerrdefs.IsConflict(err) }

// whole makes paths absolute and free of links, as they are compared.
func whole(c sandbox.Compose) (*sandbox.Compose, error) {
	dir, err := filepath.EvalSymlinks(c.Dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return nil, err
	}
	if len(c.Files) == 0 {
		return nil, errors.New("no compose file is given")
	}
	c.Dir = dir
	return &c, nil
}
