package agent

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
)

// setUpCommand runs the user's install script, unless the command that tells the version shows that the program is there already.
func (a *installed) setUpCommand(ctx context.Context, env Env) error {
	wanted, question := a.settings.version, a.settings.options["version_command"]
	a.version = cmp.Or(wanted, "unknown")
	if question != "" {
		version, code, _, err := a.ask(ctx, env, "{ "+question+"\n}")
		if err != nil {
			return err
		}
		if code == 0 && version != "" && (wanted == "" || version == wanted) {
			env.Log.Info("agent is in the image", "agent", a.Definition.Name, "version", version)
			a.version = version
			return nil
		}
	}
	if script := a.settings.options["install"]; script != "" {
		if err := a.root(ctx, env, "run the install script of agent "+a.Definition.Name, script, ""); err != nil {
			return err
		}
	}
	if question == "" {
		return nil
	}
	version, code, words, err := a.ask(ctx, env, "{ "+question+"\n}")
	switch {
	case err != nil:
		return err
	case code != 0 || version == "":
		return result.Errorf(result.AgentInstallError, "agent %s does not tell its version: exit status %d of version_command: %s", a.Definition.Name, code, words)
	case wanted != "" && version != wanted:
		return result.Errorf(result.AgentInstallError, "agent %s %s was asked for and is %s", a.Definition.Name, wanted, version)
	}
	a.version = version
	return nil
}

// readLeft reads the sums of a trajectory that a program has left itself.
func readLeft(dir string) (*Log, error) {
	data, err := os.ReadFile(filepath.Join(dir, atif.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return &Log{}, nil
	}
	if err != nil {
		return nil, err
	}
	t, err := atif.Parse(data)
	if err != nil {
		return nil, err
	}
	log := &Log{}
	if m := t.FinalMetrics; m != nil {
		log.Usage = usage.Usage{InputTotal: m.TotalPromptTokens, OutputTotal: m.TotalCompletionTokens, CacheRead: m.TotalCachedTokens}
		log.CostUSD = m.TotalCostUSD
	}
	return log, nil
}
