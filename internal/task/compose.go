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
	f, err := composefile.Load(t.ComposePath())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(f.Variables, func(v composefile.Variable) bool {
		_, own := t.Config.Environment.Env[v.Name]
		return own || slices.Contains(composeKnown, v.Name)
	}), nil
}

// compose looks at the compose file without the plugin that will read it.
func (c *checker) compose(t *Task, o CheckOptions) {
	if !t.HasCompose() {
		return
	}
	file := EnvironmentDir + "/" + ComposeFile
	f, err := composefile.Load(t.ComposePath())
	if e := (*composefile.Error)(nil); errors.As(err, &e) {
		c.fault(file, e.Line, "is no valid YAML: %s", e.Msg)
		return
	}
	if err != nil {
		c.fault(file, 0, "cannot be read: %v", err)
		return
	}
	for _, service := range t.services() {
		if service != "" && service != ServiceMain && !slices.Contains(f.Services, service) {
			c.fault(ConfigFile, 0, "names the service %s, which %s does not have: %s", service, file, strings.Join(f.Services, ", "))
		}
	}
	vars, _ := t.ComposeVars() // read just now
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
