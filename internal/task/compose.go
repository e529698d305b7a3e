package task

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"oddish/internal/composefile"
)

// composeKnown are the variables of compose files that sandboxes or the plugin set.
var composeKnown = []string{
	"COMPOSE_PROJECT_NAME", "CONTEXT_DIR", "MAIN_IMAGE_NAME", "PREBUILT_IMAGE_NAME", "CPUS", "MEMORY",
	"HOST_VERIFIER_LOGS_PATH", "ENV_VERIFIER_LOGS_PATH", "HOST_AGENT_LOGS_PATH", "ENV_AGENT_LOGS_PATH", "HOST_ARTIFACTS_PATH", "ENV_ARTIFACTS_PATH",
}

// ComposePath is the absolute path of environment/docker-compose.yaml, which need not exist.
func (t *Task) ComposePath() string { return filepath.Join(t.ContextDir(), ComposeFile) }

// ComposeVars lists the variables that the compose file takes from the host. Its error
// is one of the file.
func (t *Task) ComposeVars() ([]composefile.Variable, error) {
	if !t.HasCompose() {
		return nil, nil
	}
	return composeVars(t.ComposePath(), t.Config.Environment.Env)
}

// VerifierComposePath is the absolute path of the compose file beside the tests of a verifier with a sandbox of its own; empty: it has none.
func (p *Part) VerifierComposePath() string {
	path := filepath.Join(p.VerifierContext, ComposeFile)
	if p.Verifier.Environment == nil || !isFile(path) {
		return ""
	}
	return path
}

// VerifierComposeVars is ComposeVars for the file of VerifierComposePath.
func (p *Part) VerifierComposeVars() ([]composefile.Variable, error) {
	path := p.VerifierComposePath()
	if path == "" {
		return nil, nil
	}
	return composeVars(path, p.Verifier.Environment.Env)
}

func composeVars(path string, set map[string]string) ([]composefile.Variable, error) {
	f, err := composefile.Load(path)
	if err != nil {
		return nil, err
	}
	return ComposeHostVars(f, set), nil
}

// ComposeHostVars lists the variables that a compose file takes from the host, where the environment sets those.
func ComposeHostVars(f *composefile.File, set map[string]string) []composefile.Variable {
	return slices.DeleteFunc(slices.Clone(f.Variables), func(v composefile.Variable) bool {
		_, own := set[v.Name]
		return own || slices.Contains(composeKnown, v.Name)
	})
}

// compose looks at the compose files without the plugin that will read them.
func (c *checker) compose(t *Task, o CheckOptions) {
	if t.HasCompose() {
		c.environmentCompose(t, o)
	}
	var seen []string // steps without tests of their own share the task's
	for _, p := range t.Parts() {
		path := p.VerifierComposePath()
		if path == "" || slices.Contains(seen, path) {
			continue
		}
		seen = append(seen, path)
		file, _ := filepath.Rel(t.Dir, path)
		if c.composeFile(filepath.ToSlash(file), path) != nil {
			vars, _ := p.VerifierComposeVars() // read just now
			c.composeVars(filepath.ToSlash(file), vars, o)
		}
	}
}

// composeFile reads a compose file; nil: it cannot be read, which it tells.
func (c *checker) composeFile(file, path string) *composefile.File {
	f, err := composefile.Load(path)
	if e := (*composefile.Error)(nil); errors.As(err, &e) {
		c.fault(file, e.Line, "is no valid YAML: %s", e.Msg)
		return nil
	}
	if err != nil {
		c.fault(file, 0, "cannot be read: %v", err)
		return nil
	}
	return f
}

func (c *checker) environmentCompose(t *Task, o CheckOptions) {
	file := EnvironmentDir + "/" + ComposeFile
	f := c.composeFile(file, t.ComposePath())
	if f == nil {
		return
	}
	for _, service := range t.services() {
		if service != "" && service != ServiceMain && !slices.Contains(f.Services, service) {
			c.fault(ConfigFile, 0, "names the service %s, which %s does not have: %s", service, file, strings.Join(f.Services, ", "))
		}
	}
	vars, _ := t.ComposeVars() // read just now
	c.composeVars(file, vars, o)
}

// composeVars tells of variables that nothing sets.
func (c *checker) composeVars(file string, vars []composefile.Variable, o CheckOptions) {
	for _, v := range vars {
		if v.Optional {
			continue
		}
		why := "which is set nowhere: what is not set is empty"
		if o.Readable != nil {
			if why = o.Readable(v.Name); why == "" {
				continue
			}
		}
		c.warn(file, v.Line, "reads the variable %s of the worker, %s", v.Name, why)
	}
}

// services names those of artifacts and collect commands.
func (t *Task) services() []string {
	var names []string
	for _, a := range t.Config.Artifacts {
		names = append(names, a.Service)
	}
	for _, p := range t.Parts() {
		for _, a := range p.Artifacts {
			names = append(names, a.Service)
		}
		for _, h := range p.Verifier.Collect {
			names = append(names, h.Service)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
