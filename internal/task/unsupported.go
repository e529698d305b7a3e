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
	add := func(asked bool, what string) {
		if asked {
			list = append(list, what)
		}
	}
	c := &t.Config
	e := &c.Environment
	add(len(c.Steps) > 0, "several steps ([[steps]])")
	add(t.VerifierMode() == ModeSeparate, "a separate verifier environment")
	add(t.HasCompose(), "environment/"+ComposeFile)
	add(e.OS == OSWindows, `environment.os = "windows"`)
	add(e.GPUs != nil && *e.GPUs > 0, "environment.gpus")
	add(e.TPU != nil, "environment.tpu")
	add(len(c.Verifier.Collect) > 0, "[[verifier.collect]]")
	add(slices.ContainsFunc(c.Artifacts, func(a Artifact) bool { return a.Service != "" && a.Service != ServiceMain }),
		"artifacts of another service than "+ServiceMain)
	add(e.Network.Mode == NetworkAllowlist, `environment.network_mode = "allowlist"`)
	for _, phase := range []struct {
		name   string
		policy NetworkPolicy
	}{{"agent", c.Agent.Network}, {"verifier", c.Verifier.Network}} {
		add(phase.policy.Mode != "" && !phase.policy.equal(e.Network),
			fmt.Sprintf("%s.network_mode other than that of [environment]", phase.name))
	}
	return list
}

func (p NetworkPolicy) equal(q NetworkPolicy) bool {
	return p.Mode == q.Mode && slices.Equal(p.AllowedHosts, q.AllowedHosts)
}
