package trial

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"oddish/internal/composefile"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// composeDir is the folder beside the journal for the compose files that a run brings.
const composeDir = "compose"

// planCompose says what services are wanted, and refuses a provider that has none.
func (r *run) planCompose(p *plan, force bool) error {
	can, kind, t := r.Provider.Capabilities(), r.Provider.Kind(), p.task
	if !can.Compose {
		what := "this task has environment/" + task.ComposeFile
		if !t.HasCompose() {
			what = "the run brings a compose file"
		}
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox runs no services, and %s: use --env docker", kind, what)
	}
	digest, err := t.EnvironmentDigest()
	if err != nil {
		return result.Errorf(result.OSError, "%w", err)
	}
	vars, err := t.ComposeVars()
	if err != nil {
		return result.Errorf(result.ValueError, "environment/%s: %w", task.ComposeFile, err)
	}
	var files []string
	if t.HasCompose() {
		files = append(files, t.ComposePath())
	}
	extra, more, err := r.extraCompose(p.spec.Env)
	if err != nil {
		return err
	}
	env := r.composeEnv(slices.Concat(vars, more), p.spec.Env)
	p.spec.Compose = &sandbox.Compose{Dir: t.ContextDir(), Files: append(files, extra...), Digest: digest, Env: env}
	image := &p.spec.Image
	image.Reference = t.Config.Environment.DockerImage
	p.upload = image.Reference != "" && !t.HasDockerfile() && !t.HasCompose()
	if t.HasDockerfile() && (image.Reference == "" || force) {
		image.Context, image.Digest, image.ForceBuild = t.ContextDir(), digest, force
	}
	return nil
}

// composed reports whether the task runs with services, its own or the run's.
func (r *run) composed(t *task.Task) bool {
	e := r.Spec.Harbor.Environment
	return t.HasCompose() || e != nil && len(e.ExtraCompose) > 0
}

// extraCompose writes the compose files that the run brings beside the journal, and gives their paths and the variables that they take from the host.
func (r *run) extraCompose(set map[string]string) ([]string, []composefile.Variable, error) {
	e := r.Spec.Harbor.Environment
	if e == nil || len(e.ExtraCompose) == 0 {
		return nil, nil, nil
	}
	dir := filepath.Join(r.Dir, composeDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, result.Errorf(result.OSError, "%w", err)
	}
	var paths []string
	var vars []composefile.Variable
	for i, f := range e.ExtraCompose {
		parsed, err := composefile.Parse([]byte(f.Text))
		if err != nil {
			return nil, nil, result.Errorf(result.ValueError, "extra compose file %s: %w", f.Name, err)
		}
		if err := parsed.SelfContained(); err != nil {
			return nil, nil, result.Errorf(result.UnsupportedTaskError, "extra compose file %s reads another file, which is not sent along: %w", f.Name, err)
		}
		path := filepath.Join(dir, fmt.Sprintf("extra-%d.yaml", i+1))
		if err := os.WriteFile(path, []byte(f.Text), 0o644); err != nil {
			return nil, nil, result.Errorf(result.OSError, "%w", err)
		}
		paths = append(paths, path)
		vars = append(vars, task.ComposeHostVars(parsed, set)...)
	}
	return paths, vars, nil
}

// composeEnv gives the variables of a compose file, of those that the worker may tell, and those that the environment sets.
func (r *run) composeEnv(vars []composefile.Variable, set map[string]string) map[string]string {
	env := map[string]string{}
	for _, v := range vars {
		if value, ok := r.Getenv(v.Name); ok {
			env[v.Name] = value
		} else if !v.Optional {
			r.log.Warn("variable of the compose file is not set, or may not be read (ODDISH_TASK_ENV): it is empty", "variable", v.Name, "line", v.Line)
		}
	}
	r.tellSecrets(nil, env)
	for name, value := range set {
		env[name] = value
	}
	return env
}

// service gives the sandbox of a service; the main one for no name.
func (r *run) service(ctx context.Context, name string) (sandbox.Sandbox, error) {
	if name == "" || name == task.ServiceMain {
		return r.box, nil
	}
	services, ok := sandbox.As[sandbox.Services](r.box)
	if !ok {
		return nil, result.Errorf(result.ServiceOperationsUnsupportedError, "the sandbox has no service %s", name)
	}
	return services.Service(ctx, name)
}

// saveServiceLogs keeps what the services have said, the main one's too if it said anything: of the agent's sandbox in the trial's folder, of a separate
// verifier's beside its logs. What fails is told, and harms no result.
func (r *run) saveServiceLogs(ctx context.Context, box sandbox.Sandbox) {
	services, ok := sandbox.As[sandbox.Services](box)
	if !ok {
		return
	}
	names, err := services.Services(ctx)
	for _, name := range names {
		var log bytes.Buffer
		if e := services.ServiceLog(ctx, name, &log); e != nil {
			err = e
			continue
		}
		if log.Len() > 0 {
			err = writeServiceLog(filepath.Join(r.logsOf(box), result.ServicesDir), name, log.Bytes())
		}
	}
	if err != nil {
		r.log.Warn("logs of services not kept", "error", err)
	}
}

func writeServiceLog(dir, name string, log []byte) error {
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return fmt.Errorf("the service %q has no name for a file", name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".log"), log, 0o644)
}
