package agent

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"oddish/api"
	"oddish/internal/llm"
)

// Info describes an agent that New knows.
type Info struct {
	Name        string
	NeedsModel  bool
	Description string // one line

	// Source is where its program comes from, for people; empty: it is built in. Version is the one that was tested.
	Source, Version string
	// Packaged: a worker can have the program from a registry of packages, and show it to sandboxes.
	Packaged bool
	// Dialects are those in which it can speak to its model; none: it speaks to none, or to a service of its own with the key in OwnKey.
	Dialects []llm.Dialect
	OwnKey   string
	// Tells says which numbers it leaves itself, and Trajectory that its steps are read from its own records.
	Tells      Tells
	Trajectory bool
	// MCP: it can use tool servers; Skills: it looks for skills.
	MCP, Skills bool
	// Options are all of its kwargs.
	Options []Option
}

// info describes the agent.
func (d *Definition) info() Info {
	i := Info{
		Name: d.Name, NeedsModel: !d.NoModel, Description: d.Description, Source: d.Package.source(), Version: d.Package.Version,
		Packaged: d.Package.NPM != "" || d.Package.PyPI != "",
		OwnKey:   d.OwnKey, Tells: d.Tells, Trajectory: d.Read != nil, MCP: d.MCP, Skills: d.Skills, Options: slices.Concat(d.Options, commonOptions()),
	}
	if d.Dialects == nil {
		return i
	}
	var can []llm.Dialect
	for _, provider := range []string{"anthropic", "openai", "google", ""} {
		can = append(can, d.Dialects(provider)...)
	}
	for _, dialect := range llm.Dialects() {
		if slices.Contains(can, dialect) {
			i.Dialects = append(i.Dialects, dialect)
		}
	}
	return i
}

// source says where a program comes from.
func (p *Package) source() string {
	switch {
	case p.NPM != "":
		return "npm " + p.NPM
	case p.PyPI != "":
		return "PyPI " + p.PyPI
	case p.Vendor != nil:
		return p.Vendor.Source
	}
	return "yours"
}

// Ready reports whether one of the folders has the program in the tested version, for whatever platform, so that no worker on this machine must fetch it.
func (i Info) Ready(dirs ...string) bool {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // there is none yet
		}
		for _, e := range entries {
			if i.Version != "" && strings.HasPrefix(e.Name(), i.Name+"-"+i.Version+"-linux-") {
				return true
			}
		}
	}
	return false
}

// Find gives the agent of that name.
func Find(name string) (Info, bool) {
	for _, e := range entries() {
		if e.Name == name {
			return e.Info, true
		}
	}
	return Info{}, false
}

// CheckModelConfig refuses what only the model gateway can do for an agent that does not use it. Budget is the experiment's.
func (i Info) CheckModelConfig(c *api.AgentConfig, budget *api.Budget) error {
	if i.OwnKey == "" {
		return nil
	}
	c = cmp.Or(c, &api.AgentConfig{})
	what := ""
	switch {
	case c.BaseURL != "":
		what = "an address of a model's API"
	case c.Budget != nil, budget != nil:
		what = "a budget"
	case c.RecordModel:
		what = "a record of what is asked and answered"
	case c.Replay != "":
		what = "a replay"
	case c.HelperModel != "":
		what = "a helper model"
	default:
		return nil
	}
	return fmt.Errorf("agent %s speaks to a service of its own and not through the model gateway, so that it cannot have %s", i.Name, what)
}

// CheckTools refuses tool servers and skills for an agent that would pay no attention to them, and those that are none.
func (i Info) CheckTools(name string, c *api.AgentConfig) error {
	switch {
	case len(c.MCPServers) > 0 && !i.MCP:
		return fmt.Errorf("agent %s cannot use tool servers", name)
	case len(c.Skills) > 0 && !i.Skills:
		return fmt.Errorf("agent %s does not look for skills", name)
	}
	for _, s := range c.MCPServers {
		if s.Transport == "stdio" && s.Command == "" || s.Transport != "stdio" && s.URL == "" {
			return fmt.Errorf("tool server %s needs a command if its transport is stdio, and else a url; it is %q", s.Name, s.Transport)
		}
	}
	size := 0
	for _, s := range c.Skills {
		size += len(s.Archive)
	}
	if size > api.MaxSkills {
		return fmt.Errorf("the skills have %d bytes when they are packed, and may have %d: put what is large into the image", size, api.MaxSkills)
	}
	return nil
}

// CheckOwnKey is an error if the agent's environment lacks the key of the agent's own service.
func (i Info) CheckOwnKey(env map[string]string) error {
	if i.OwnKey == "" || env[i.OwnKey] != "" {
		return nil
	}
	return errors.New("agent " + i.Name + " speaks to a service of its own: give its key with --ae " + i.OwnKey + "=KEY, or --ae " + i.OwnKey + "='${" + i.OwnKey + "}' for the worker's")
}
