package agent

import (
	"fmt"
	"regexp"
	"strings"

	"oddish/internal/sandbox"
)

// commandAgent is any program: the user gives the scripts that install and start it.
func commandAgent() *Definition {
	return &Definition{
		Name: "command", Description: "any program: --ak run='my-agent {{ prompt_file }}' --ak install='pip install my-agent'",
		Output: "command.txt", NoModel: true,
		Options: []Option{{Name: "run"}, {Name: "install"}, {Name: "result_files"}},
		// Which dialect the program speaks is its own affair: it is told where all of them are.
		Dialects: byProvider,
		Launch:   launchCommand,
	}
}

// launchCommand fills in the user's template.
func launchCommand(r Request) (Launch, error) {
	script, err := fillTemplate(r.Options["run"], map[string]string{
		"prompt_file": r.Prompt,
		"instruction": `"$(cat ` + r.Prompt + `)"`,
		"model":       sandbox.Quote(r.Model),
		"provider":    sandbox.Quote(r.Provider),
		"base_url":    sandbox.Quote(r.BaseURL),
		"logs_dir":    LogsDir,
	})
	if err != nil {
		return Launch{}, fmt.Errorf("agent command: run: %w", err)
	}
	l := Launch{Script: script, Env: map[string]string{"ODDISH_PROMPT_FILE": promptFile}}
	if r.BaseURL != "" {
		for name, value := range map[string]string{
			"ODDISH_MODEL": r.Model, "ODDISH_MODEL_PROVIDER": r.Provider, "ODDISH_MODEL_BASE_URL": r.BaseURL, "ODDISH_MODEL_TOKEN": r.Token,
			"ANTHROPIC_BASE_URL": r.BaseURL, "ANTHROPIC_API_KEY": r.Token,
			"OPENAI_BASE_URL": r.BaseURL + "/v1", "OPENAI_API_BASE": r.BaseURL + "/v1", "OPENAI_API_KEY": r.Token,
			"GOOGLE_GEMINI_BASE_URL": r.BaseURL, "GEMINI_API_KEY": r.Token,
		} {
			l.Env[name] = value
		}
	}
	if files := strings.Fields(r.Options["result_files"]); len(files) > 0 {
		l.After = "r=0\n"
		for _, f := range files {
			l.After += "cp -R " + quoteHome(f) + " " + LogsDir + "/ || r=1\n"
		}
		l.After += "exit $r"
	}
	return l, nil
}

// quoteHome makes a shell word of a path that may begin with ~/.
func quoteHome(path string) string {
	if rest, home := strings.CutPrefix(path, "~/"); home {
		return `"$HOME"/` + sandbox.Quote(rest)
	}
	return sandbox.Quote(path)
}

// fillTemplate replaces {{ name }} by shell words. An unknown name is an error.
func fillTemplate(template string, words map[string]string) (string, error) {
	var unknown string
	filled := regexp.MustCompile(`\{\{\s*([a-z_]+)\s*\}\}`).ReplaceAllStringFunc(template, func(mark string) string {
		name := strings.TrimSpace(strings.Trim(mark, "{}"))
		word, ok := words[name]
		if !ok {
			unknown = name
		}
		return word
	})
	if unknown != "" {
		return "", fmt.Errorf("{{ %s }} stands for nothing: known are prompt_file, instruction, model, provider, base_url and logs_dir", unknown)
	}
	return filled, nil
}
