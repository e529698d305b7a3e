package gateway

import (
	"errors"
	"testing"

	"oddish/internal/llm"
)

func TestToolsOfTheProviderAreRemoved(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		dialect  llm.Dialect
		in, want string
	}{
		{"none", llm.Anthropic, `{"model":"m"}`, `{"model":"m"}`},
		{"only the agent's", llm.Anthropic, `{"tools":[ {"name":"Bash"},{"type":"bash_20250124"} ],"model":"m"}`, `{"tools":[ {"name":"Bash"},{"type":"bash_20250124"} ],"model":"m"}`},
		{"anthropic", llm.Anthropic, `{"mcp_servers":[{"url":"x"}],"tools":[{"name":"Bash"},{"type":"web_search_20250305"},{"type":"code_execution_20250825"}],"model":"m"}`, `{"mcp_servers":null,"tools":[{"name":"Bash"}],"model":"m"}`},
		{"responses", llm.Responses, `{"tools":[{"type":"web_search"},{"type":"function","name":"exec_command"},{"type":"mcp"}],"model":"m"}`, `{"tools":[{"type":"function","name":"exec_command"}],"model":"m"}`},
		{"chat", llm.Chat, `{"web_search_options":{},"model":"m","plugins":[{"id":"web"}]}`, `{"web_search_options":null,"model":"m","plugins":null}`},
		{"gemini", llm.Gemini, `{"tools":[{"googleSearch":{}},{"functionDeclarations":[],"code_execution":{}}]}`, `{"tools":[{"functionDeclarations":[]}]}`},
	}
	for _, tt := range tests {
		got, err := withoutProviderTools(tt.dialect, []byte(tt.in))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
	for d, in := range map[llm.Dialect]string{
		llm.Anthropic: `{"tools":[{"type":"web_search_20250305","name":"web_search"}]}`,
		llm.Gemini:    `{"tools":[{"googleSearch":{}}]}`,
	} {
		if _, err := withoutProviderTools(d, []byte(in)); !errors.Is(err, errOnlyProviderTools) {
			t.Errorf("%s: %v", in, err)
		}
	}
	if _, err := withoutProviderTools(llm.Chat, []byte(`{"tools":"all"}`)); err == nil {
		t.Error("tools that are no list were taken")
	}
}
