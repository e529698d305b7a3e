package trial

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"path"
	"slices"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// givenSkills is where skills are put that came with the run, if the task has no place for its own.
const givenSkills = "/harbor/skills"

// mcpServers gives the task's tool servers and those that came with the run, which take the place of the task's of the same name.
func mcpServers(ofTask []task.MCPServer, given []api.MCPServer) []agent.MCPServer {
	var out []agent.MCPServer
	for _, s := range ofTask {
		if !slices.ContainsFunc(given, func(g api.MCPServer) bool { return g.Name == s.Name }) {
			out = append(out, agent.MCPServer{Name: s.Name, Transport: s.Transport, URL: s.URL, Command: s.Command, Args: s.Args})
		}
	}
	for _, s := range given {
		out = append(out, agent.MCPServer{Name: s.Name, Transport: s.Transport, URL: s.URL, Command: s.Command, Args: s.Args})
	}
	return out
}

// skillsDir is the folder of the sandbox with the agent's skills; empty: it has none.
func (r *run) skillsDir() string {
	dir := r.plan.task.Config.Environment.SkillsDir
	if dir == "" && len(r.Spec.AgentConfig.Skills) > 0 {
		return givenSkills
	}
	return dir
}

// bringSkills puts the skills that came with the run beside the task's, each in a folder that is emptied before, readable by every user.
func (r *run) bringSkills(ctx context.Context) error {
	for _, s := range r.Spec.AgentConfig.Skills {
		dir := path.Join(r.skillsDir(), s.Name)
		if err := r.asRoot(ctx, r.box, "skills", fmt.Sprintf("rm -rf %s && mkdir -p %[1]s", sandbox.Quote(dir))); err != nil {
			return fmt.Errorf("make the folder of skill %s: %w", s.Name, err)
		}
		z, err := gzip.NewReader(bytes.NewReader(s.Archive))
		if err != nil {
			return result.Errorf(result.ValueError, "the archive of skill %s is no tar.gz: %w", s.Name, err)
		}
		if err := r.box.Upload(ctx, dir, z); err != nil {
			return fmt.Errorf("upload skill %s: %w", s.Name, err)
		}
		if err := r.asRoot(ctx, r.box, "skills", "chmod -R a+rX "+sandbox.Quote(dir)); err != nil {
			return fmt.Errorf("make skill %s readable: %w", s.Name, err)
		}
	}
	return nil
}
