package agent

import (
	"fmt"
	"slices"
	"strings"

	"oddish/internal/nearest"
)

// UnknownError says that there is no agent of that name, and what to do instead.
func UnknownError(name string) error {
	var known []string
	for _, e := range entries() {
		known = append(known, e.Name)
	}
	lower := strings.ToLower(name)
	meant := otherNames()[lower]
	if !slices.Contains(known, meant) {
		meant = nearest.To(lower, known)
	}
	all := "known are " + strings.Join(known, ", ")
	switch {
	case slices.Contains(elsewhere(), lower) || strings.Contains(name, ":"): // module:Class is code of the user's, acp:NAME an agent of a registry
		return fmt.Errorf("agent %q is known to Harbor and not here: describe its program in an agent file (-a FILE.toml) or use -a command; %s", name, all)
	case meant != "":
		return fmt.Errorf("unknown agent %q: did you mean %s? %s", name, meant, all)
	}
	return fmt.Errorf("unknown agent %q: %s", name, all)
}

// otherNames are what people call some agents.
func otherNames() map[string]string {
	return map[string]string{
		"claude": "claude-code", "claudecode": "claude-code", "gemini": "gemini-cli", "qwen": "qwen-coder", "qwen-code": "qwen-coder", "qwen-cli": "qwen-coder",
		"cursor": "cursor-cli", "cursor-agent": "cursor-cli", "copilot": "copilot-cli", "cline": "cline-cli", "kimi": "kimi-cli", "kimi-code": "kimi-cli",
		"openhands-sdk": "openhands", "open-hands": "openhands", "openhands-cli": "openhands", "terminus": "terminus-2", "terminus-1": "terminus-2",
		"mini": "mini-swe-agent", "sweagent": "swe-agent", "trae": "trae-agent", "trae-cli": "trae-agent", "mistral-vibe": "vibe", "openai-codex": "codex", "codex-cli": "codex",
	}
}

// elsewhere are agents of Harbor's that are not among ours under another name.
func elsewhere() []string {
	return []string{
		"acp", "antigravity-cli", "antigravity-sdk", "computer-1", "cortex-code", "deerflow", "devin", "dspy-rlm", "eve", "fx", "grok-build", "hermes", "junie",
		"langgraph", "mcode", "mimo", "nemo-agent", "openclaw", "rovodev-cli", "vibe",
	}
}
