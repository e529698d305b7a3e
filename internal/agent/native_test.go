package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// launched gives how an agent is started with these options.
func launched(t *testing.T, name string, kwargs map[string]any) (Launch, error) {
	t.Helper()
	made, err := New(name, Options{Model: "openai/gpt-5", Kwargs: kwargs})
	if err != nil {
		t.Fatal(err)
	}
	return made.(*installed).launch(Env{Model: endpoint(), MCP: nil})
}

func fileOf(t *testing.T, l Launch, ending string) string {
	t.Helper()
	for _, f := range l.Files {
		if strings.HasSuffix(f.Path, ending) {
			return f.Content
		}
	}
	t.Fatalf("there is no file %s in %+v", ending, l)
	return ""
}

func TestTheUsersConfigurationIsLaidUnderOurs(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]any{
		"as text":      "model_verbosity = \"low\"\ntool_output_token_limit = 5\nmodel_provider = \"mine\"\n[model_providers.mine]\nname = \"mine\"\n",
		"as an object": map[string]any{"model_verbosity": "low", "tool_output_token_limit": 5.0, "model_provider": "mine", "model_providers": map[string]any{"mine": map[string]any{"name": "mine"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := launched(t, "codex", map[string]any{"config": given, "max_retries": 2})
			if err != nil {
				t.Fatal(err)
			}
			var config struct {
				Verbosity string         `toml:"model_verbosity"`
				Limit     int            `toml:"tool_output_token_limit"`
				Provider  string         `toml:"model_provider"`
				Providers map[string]any `toml:"model_providers"`
			}
			if err := toml.Unmarshal([]byte(fileOf(t, l, "config.toml")), &config); err != nil {
				t.Fatal(err)
			}
			if config.Verbosity != "low" || config.Limit != 5 || config.Provider != "oddish" || len(config.Providers) != 2 {
				t.Errorf("configuration is %+v", config)
			}
		})
	}
	l, err := launched(t, "opencode", map[string]any{"opencode_config": `{"provider":{"openai":{"options":{"timeout":5}}},"theme":"dark"}`})
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(fileOf(t, l, "opencode.json")), &config); err != nil {
		t.Fatal(err)
	}
	options := config["provider"].(map[string]any)["openai"].(map[string]any)["options"].(map[string]any)
	if options["timeout"] != 5.0 || options["baseURL"] != "http://gw/t/token/v1" || config["theme"] != "dark" {
		t.Errorf("configuration is %+v", config)
	}
}

func TestConfigurationsOfTheProgramsOwn(t *testing.T) {
	t.Parallel()
	l, err := launched(t, "claude-code", map[string]any{"config": map[string]any{"env": map[string]any{"A": "1"}}, "memory_dir": "/mem", "max_output_tokens": 9000})
	if err != nil {
		t.Fatal(err)
	}
	if fileOf(t, l, "claude-settings.json") != `{"env":{"A":"1"}}` || !strings.Contains(l.Script, "--settings /tmp/oddish-agent/claude-settings.json") ||
		!strings.Contains(l.Script, `cp -R '/mem'/. "$m"/`) || l.Env["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] != "9000" {
		t.Errorf("launch is %+v", l)
	}
	l, err = launched(t, "mini-swe-agent", map[string]any{"config_file": "agent: {step_limit: 5}", "reasoning_effort": "high", "max_tokens": 100})
	if err != nil {
		t.Fatal(err)
	}
	if want := " -c mini.yaml -c '/tmp/oddish-agent/mini.yaml' -c 'model.model_kwargs.reasoning_effort=high' -c 'model.model_kwargs.max_tokens=100'"; !strings.Contains(l.Script, want) {
		t.Errorf("launch is %s", l.Script)
	}
	for agent, option := range map[string]string{"codex": "config", "claude-code": "config", "opencode": "opencode_config"} {
		if _, err := launched(t, agent, map[string]any{option: "settings-file"}); err == nil || !strings.Contains(err.Error(), "nor the name of a file") {
			t.Errorf("error of %s is %v", agent, err)
		}
	}
}

func TestFilesOfTheUsersMachineTravelAsTheirContents(t *testing.T) {
	t.Parallel()
	read := func(path string) ([]byte, error) {
		switch path {
		case "codex.toml":
			return []byte("a = 1"), nil
		case "prompt.txt":
			return []byte("Do {{ instruction }}"), nil
		case "secret":
			return nil, fs.ErrPermission
		}
		return nil, fs.ErrNotExist
	}
	info, _ := Find("codex")
	for name, c := range map[string]struct {
		kwargs, want map[string]any
		err          error
	}{
		"a file":               {map[string]any{"config": "codex.toml"}, map[string]any{"config": "a = 1"}, nil},
		"no file":              {map[string]any{"config": "b = 2"}, map[string]any{"config": "b = 2"}, nil},
		"an object":            {map[string]any{"config": map[string]any{}}, map[string]any{"config": map[string]any{}}, nil},
		"one that is not ours": {map[string]any{"config": "secret"}, nil, fs.ErrPermission},
		"a template":           {map[string]any{"prompt_template_path": "prompt.txt"}, map[string]any{"prompt_template": "Do {{ instruction }}"}, nil},
		"no template":          {map[string]any{"prompt_template_path": "nowhere"}, nil, fs.ErrNotExist},
		"another option":       {map[string]any{"web_search": "codex.toml"}, map[string]any{"web_search": "codex.toml"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := info.ReadFiles(c.kwargs, read)
			if !errors.Is(err, c.err) || err == nil && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if _, err := info.ReadFiles(map[string]any{"prompt_template_path": "prompt.txt", "prompt_template": "x"}, read); err == nil {
		t.Error("two templates were taken")
	}
}
