package task

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// ErrMissingVariable is wrapped by ResolveEnv's error.
var ErrMissingVariable = errors.New("environment variable is not set")

// template matches a value that is ${NAME} or ${NAME:-default} from end to end.
var template = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:-((?s:.*)))?\}$`)

// ResolveEnv gives env with its templates replaced: a value that is entirely ${NAME} or
// ${NAME:-default} becomes the variable of the host, or the default when that is unset (not
// when it is empty: Harbor's rule, not the shell's). There is no interpolation inside longer strings. A variable without value and default is an error
// wrapping ErrMissingVariable that names it and the key. The result is a new map, never nil.
func ResolveEnv(env map[string]string, getenv func(string) (string, bool)) (map[string]string, error) {
	out := make(map[string]string, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		value, err := resolve(env[key], getenv)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", key, err)
		}
		out[key] = value
	}
	return out, nil
}

func resolve(value string, getenv func(string) (string, bool)) (string, error) {
	m := template.FindStringSubmatch(value)
	if m == nil {
		return value, nil
	}
	name, hasDefault := m[1], m[2] != ""
	v, ok := getenv(name)
	switch {
	case ok:
		return v, nil
	case hasDefault:
		return m[3], nil
	}
	return "", fmt.Errorf("%w: %s", ErrMissingVariable, name)
}

// HostVars lists the variables of the host that running the task reads, sorted: those named by templates in the environment and
// verifier tables, also of steps, and, for the oracle, in the solution's, and those of compose files that the host has. A variable with a default is read only if isSet says that the host
// has it.
func (t *Task) HostVars(oracle bool, isSet func(name string) bool) []string {
	c := &t.Config
	envs := []map[string]string{c.Environment.Env, c.Verifier.Env}
	if oracle {
		envs = append(envs, c.Solution.Env)
	}
	if v := c.Verifier.Environment; v != nil {
		envs = append(envs, v.Env)
	}
	for _, s := range c.Steps {
		envs = append(envs, s.Verifier.Env)
		if s.Verifier.Environment != nil {
			envs = append(envs, s.Verifier.Environment.Env)
		}
	}
	names := TemplateVars(isSet, envs...)
	vars, _ := t.ComposeVars() // a file that cannot be read is told of elsewhere
	for _, p := range t.Parts() {
		more, _ := p.VerifierComposeVars()
		vars = append(vars, more...)
	}
	for _, v := range vars {
		if isSet(v.Name) {
			names = append(names, v.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TemplateVars lists the variables of the host that templates in environments read, as HostVars does.
func TemplateVars(isSet func(name string) bool, envs ...map[string]string) []string {
	var names []string
	for _, env := range envs {
		for _, value := range env {
			if m := template.FindStringSubmatch(value); m != nil && (m[2] == "" || isSet(m[1])) {
				names = append(names, m[1])
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// validEnvName reports whether a variable can have this name in every shell.
func validEnvName(name string) bool {
	return name != "" && !strings.ContainsAny(name, "=\x00")
}
