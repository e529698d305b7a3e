package trial

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"oddish/internal/composefile"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// planCompose says what services are wanted, and refuses a provider that has none.
func (r *run) planCompose(p *plan, force bool) error {
	can, kind, t := r.Provider.Capabilities(), r.Provider.Kind(), p.task
	if !can.Compose {
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox runs no services, and this task has environment/%s: use --env docker", kind, task.ComposeFile)
	}
	digest, err := t.EnvironmentDigest()
	if err != nil {
		return result.Errorf(result.OSError, "%w", err)
	}
	vars, err := t.ComposeVars()
	if err != nil {
		return result.Errorf(result.ValueError, "environment/%s: %w", task.ComposeFile, err)
	}
	env := r.composeEnv(vars, p.spec.Env)
	p.spec.Compose = &sandbox.Compose{Dir: t.ContextDir(), Files: []string{t.ComposePath()}, Digest: digest, Env: env}
	image := &p.spec.Image
	image.Reference = t.Config.Environment.DockerImage
	if t.HasDockerfile() && (image.Reference == "" || force) {
		image.Context, image.Digest, image.ForceBuild = t.ContextDir(), digest, force
	}
	return nil
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
