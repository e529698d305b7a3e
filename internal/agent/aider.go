package agent

import (
	"oddish/internal/sandbox"
)

func aider() *Definition {
	return &Definition{
		Name: "aider", Description: "aider, which edits files in one conversation",
		Package:  Package{Command: "aider", PyPI: "aider-chat", Version: "0.86.2", Python: [2]int{10, 12}},
		Output:   "aider.txt",
		Dialects: liteLLMDialects,
		Options: []Option{
			{Name: "edit_format", Flag: "--edit-format", Help: "form in which the model gives its changes"},
			{Name: "reasoning_effort", Flag: "--reasoning-effort", Help: "how much the model thinks"},
			{Name: "thinking_tokens", Flag: "--thinking-tokens", Help: "longest thinking before an answer"},
		},
		Launch: launchAider,
		// It leaves no record of its steps and rounds its tokens: only the gateway knows them.
	}
}

func launchAider(r Request) (Launch, error) {
	model, env := liteLLM(r)
	return Launch{
		Script: r.Program + " --yes-always --model=" + sandbox.Quote(model) + " --weak-model=" + sandbox.Quote(model) +
			" --chat-history-file=" + LogsDir + "/aider.chat.history.md --input-history-file=/dev/null --no-check-update --analytics-disable --no-show-model-warnings" +
			" --no-show-release-notes --no-stream --no-auto-commits --no-gitignore " + r.Flags + ` --message="$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env: env,
	}, nil
}
