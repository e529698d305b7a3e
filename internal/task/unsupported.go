package task

import (
	"fmt"
	"slices"
)

// Unsupported lists what the task asks for and a trial cannot do yet, in words for its user.
// A task with a non-empty list must be refused before anything starts: running it without would
// give results that mean something else. What depends on the kind of sandbox is not listed here.
func (t *Task) Unsupported() []string {
	var list []string
	add := func(asked bool, format string, args ...any) {
		what := fmt.Sprintf(format, args...)
		if asked && !slices.Contains(list, what) {
			list = append(list, what)
		}
	}
	c := &t.Config
	unsupportedEnvironment(&c.Environment, "environment", add)
	services := t.HasCompose()
	add(!services && otherService(c.Artifacts), "artifacts of another service than %s without environment/%s", ServiceMain, ComposeFile)
	unsupportedVerifier(&c.Verifier, "verifier", services, add)
	for _, s := range c.Steps {
		at := fmt.Sprintf("steps.%s", s.Name)
		add(!services && otherService(s.Artifacts), "artifacts of another service than %s without environment/%s", ServiceMain, ComposeFile)
		unsupportedVerifier(&s.Verifier, at+".verifier", services, add)
	}
	return list
}

func unsupportedVerifier(v *Verifier, at string, services bool, add func(bool, string, ...any)) {
	add(!services && slices.ContainsFunc(v.Collect, func(c Collect) bool { return c.Service != ServiceMain }),
		"[[%s.collect]] in another service than %s without environment/%s", at, ServiceMain, ComposeFile)
	if v.Environment != nil {
		unsupportedEnvironment(v.Environment, at+".environment", add)
	}
}

func unsupportedEnvironment(e *Environment, at string, add func(bool, string, ...any)) {
	add(e.OS == OSWindows, `%s.os = "windows"`, at)
	add(e.TPU != nil, "%s.tpu", at)
}

func otherService(list []Artifact) bool {
	return slices.ContainsFunc(list, func(a Artifact) bool { return a.Service != "" && a.Service != ServiceMain })
}
