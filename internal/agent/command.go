package agent

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"oddish/internal/atif"
	"oddish/internal/sandbox"
)

// commandName is the agent that is any program.
const commandName = "command"

// commandAgent is any program: the user gives the scripts that install and start it.
func commandAgent() *Definition {
	return &Definition{
		Name: commandName, Description: "any program of yours, started as you say",
		Output: "command.txt", NoModel: true,
		Options: []Option{
			{Name: "run", Help: "script that starts the program"},
			{Name: "install", Help: "script that root runs before"},
			{Name: "version_command", Help: "prints the program's version; while it does, nothing is installed"},
			{Name: "output", Help: "file that takes what the program prints (NAME.txt)"},
			{Name: "result_files", Help: "further files to keep"},
			{Name: "trajectory", Help: "file in ATIF that the program leaves"},
		},
		// Which dialect the program speaks is its own affair: it is told where all of them are.
		Dialects: byProvider,
		Launch:   launchCommand,
	}
}

// newNamed makes the command agent under a name of the user's.
func newNamed(name string, o Options) (Agent, error) {
	if o.Base != commandName {
		return nil, fmt.Errorf("agent %q is based on %q: only %s can be run under another name", name, o.Base, commandName)
	}
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`).MatchString(name) {
		return nil, fmt.Errorf("the agent cannot be named %q: want small letters, digits, dots, dashes and underscores, at most 64", name)
	}
	if _, taken := Find(name); taken {
		return nil, fmt.Errorf("the agent cannot be named %q, which is one of Oddish's own", name)
	}
	d := commandAgent()
	d.Name, d.Output = name, name+".txt"
	return newInstalled(d, o)
}

// newCommand completes the agent of a program whose scripts the user gives.
func newCommand(a *installed) (Agent, error) {
	o := a.settings.options
	if o["run"] == "" {
		return nil, fmt.Errorf("agent %s needs --ak run=SCRIPT", a.Definition.Name)
	}
	for _, f := range append(strings.Fields(o["result_files"]), o["trajectory"]) {
		if f != "" && !strings.HasPrefix(f, "/") && !strings.HasPrefix(f, "~/") {
			return nil, fmt.Errorf("agent %s: the file %q is to be given with its whole path, or from the home (~/)", a.Definition.Name, f)
		}
	}
	if out := o["output"]; out != "" {
		if out != path.Base(out) || out[0] == '.' || out == atif.FileName {
			return nil, fmt.Errorf("agent %s: output is the plain name of a file, not %q", a.Definition.Name, out)
		}
		named := *a.Definition
		named.Output = out
		a.Definition = &named
	}
	return a, nil
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
	l.After = commandAfter(r.Options)
	return l, nil
}

// commandAfter gives the commands that keep the files which the program leaves; "" if there are none to keep.
func commandAfter(options map[string]string) string {
	script := ""
	for _, f := range strings.Fields(options["result_files"]) {
		script += "cp -R " + quoteHome(f) + " " + LogsDir + "/ || r=1\n"
	}
	if f := options["trajectory"]; f != "" && f != LogsDir+"/"+atif.FileName {
		script += "cp " + quoteHome(f) + " " + LogsDir + "/" + atif.FileName + " || r=1\n"
	}
	if script == "" {
		return ""
	}
	return "r=0\n" + script + "exit $r"
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
