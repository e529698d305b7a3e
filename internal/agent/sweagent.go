package agent

import (
	"oddish/internal/sandbox"
)

// sweOutput is the folder in LogsDir for what SWE-agent leaves; the name of the problem is ours, so that the files have known names.
const (
	sweOutput  = "swe-agent-output"
	sweProblem = "task"
	sweRecord  = sweOutput + "/" + sweProblem + "/" + sweProblem + ".traj"
	sweConfig  = "/tmp/oddish-agent/swe-agent.yaml"
)

func sweAgent() *Definition {
	return &Definition{
		Name: "swe-agent", Description: "SWE-agent, with tools for repositories",
		Package: Package{
			Command: "sweagent", Version: "1.1.0", VersionFlag: "--help", // it has no flag for it in all versions, and prints it above everything
			Vendor: &Vendor{
				Source: "git, SWE-agent/SWE-agent on GitHub", Program: "venv/bin/sweagent",
				Script: fetching("git curl") + pythonVenv(11) +
					// Editable, since its configuration and tools are files beside the package.
					`git clone --quiet --depth 1 --branch "v$VERSION" https://github.com/SWE-agent/SWE-agent source &&
venv/bin/pip install --quiet --disable-pip-version-check --editable source`,
			},
		},
		Output: "swe-agent.txt", Record: sweRecord,
		Options: []Option{
			{Name: "per_instance_cost_limit", Flag: "--agent.model.per_instance_cost_limit=", Default: "0", Help: "US dollars after which it stops, 0 for none"},
			{Name: "total_cost_limit", Flag: "--agent.model.total_cost_limit=", Default: "0", Help: "the same, for one that works on several tasks"},
			{Name: "per_instance_call_limit", Flag: "--agent.model.per_instance_call_limit=", Help: "calls of the model after which it stops"},
			{Name: "max_input_tokens", Flag: "--agent.model.max_input_tokens=", Default: "0", Help: "longest conversation, 0 for what the provider takes"},
			{Name: "temperature", Flag: "--agent.model.temperature=", Help: "of the model"},
			{Name: "top_p", Flag: "--agent.model.top_p=", Help: "of the model"},
			{Name: "config", Form: formYAML, Help: "its configuration, instead of its default"},
		},
		Tells:    Tells{Tokens: true, Cost: true},
		Dialects: liteLLMDialects,
		Launch:   launchSWEAgent,
		Read:     readSWEAgent,
	}
}

// launchSWEAgent lets it work in the sandbox itself, in the task's working directory, which it knows as a repository that is there and must not be reset.
func launchSWEAgent(r Request) (Launch, error) {
	model, env := liteLLM(r)
	l := Launch{
		Script: r.Program + " run --agent.model.name=" + sandbox.Quote(model) + " --problem_statement.type=text_file --problem_statement.path=" + r.Prompt +
			" --problem_statement.id=" + sweProblem + " --env.deployment.type=local --output_dir=" + LogsDir + "/" + sweOutput +
			` --env.repo.type=preexisting --env.repo.repo_name="${PWD#/}" --env.repo.reset=false`,
		Env: env,
	}
	if config := r.Options["config"]; config != "" {
		l.Files = []File{{sweConfig, config}}
		l.Script += " --config " + sweConfig
	}
	l.Script += " " + r.Flags + " </dev/null 2>&1"
	return l, nil
}
