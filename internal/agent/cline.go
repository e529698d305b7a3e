package agent

import (
	"oddish/internal/llm"
	"oddish/internal/sandbox"
)

func clineCLI() *Definition {
	return &Definition{
		Name: "cline-cli", Description: "Cline's command line, for models of OpenAI and those that are compatible",
		Package: Package{
			Command: "cline", NPM: "cline", Version: "3.0.65", NPMPlatform: "@cline/cli-linux-{cpu}", Native: "node_modules/@cline/cli-linux-{cpu}/bin/cline",
		},
		Output: "cline.txt",
		Options: []Option{
			{Name: "thinking", Flag: "--thinking", Values: []string{"none", "low", "medium", "high", "xhigh"}, Help: "how much the model thinks"},
			{Name: "compaction", Flag: "--compaction", Values: []string{"agentic", "basic", "off"}, Help: "how a long conversation is shortened"},
			{Name: "system", Flag: "--system", Help: "its system prompt, instead of its own"},
			{Name: "retries", Flag: "--retries", Help: "mistakes in a row before it gives up"},
		},
		Tells: Tells{Tokens: true, Cost: true},
		Dialects: func(provider string) []llm.Dialect {
			if provider == "openai" {
				return []llm.Dialect{llm.Responses, llm.Chat}
			}
			return []llm.Dialect{llm.Chat} // Anthropic's provider takes no address
		},
		Launch: launchCline,
		Read:   readCline,
	}
}

// launchCline tells it of its provider first, which is the only way to give an address. It leaves a daemon behind, which is no part of the work.
func launchCline(r Request) (Launch, error) {
	provider := "openai-compatible"
	if r.Dialect == llm.Responses {
		provider = "openai-native"
	}
	who := " -P " + provider + " -k \"$CLINE_KEY\" -m " + sandbox.Quote(r.Model)
	return Launch{
		Script: r.Program + " auth -p " + provider + ` -k "$CLINE_KEY" -m ` + sandbox.Quote(r.Model) + ` -b "$CLINE_BASE" </dev/null >&2 || exit` + "\n" +
			// Each piece of an answer comes with all that came before it.
			r.Program + who + " --json " + r.Flags + ` -- "$(cat ` + r.Prompt + `)" </dev/null 2>&1 | sed -u -e '/"type":"content_start","contentType":"text"/d' -e '/"type":"content_start","contentType":"reasoning"/d'`,
		Env: map[string]string{"CLINE_KEY": r.Token, "CLINE_BASE": r.BaseURL + "/v1"},
		After: `for p in /proc/[0-9]*; do
	if grep -a -q -e '--cline-hub-daemon' "$p/cmdline" 2>/dev/null && [ "${p#/proc/}" != $$ ]; then kill -9 "${p#/proc/}" 2>/dev/null; fi
done; true`,
	}, nil
}
