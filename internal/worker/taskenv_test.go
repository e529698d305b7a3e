package worker

import "testing"

func TestTemplatesAreGivenNoKeysUnlessTheOperatorAllowsThem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		allowed []string
		want    bool
	}{
		{"JUDGE_TOKEN", nil, true},
		{"HOME", nil, true},
		{"JUDGE_API_KEY", nil, true},
		{"OPENAI_API_KEY", nil, false},
		{"ANTHROPIC_API_KEY", nil, false},
		{"GEMINI_API_KEY", nil, false},
		{"HF_TOKEN", nil, false},
		{"OPENAI_BASE_URL", nil, false},
		{"SELFMADE_API_KEY", nil, false},
		{"ODDISH_API_KEY", nil, false},
		{"ODDISH_SECRET_KEY", nil, false},
		{"DATABASE_URL", nil, false},
		{"OPENAI_API_KEY", []string{"OPENAI_API_KEY"}, true},
		{"JUDGE_TOKEN", []string{"OPENAI_API_KEY"}, false},
		{"JUDGE_TOKEN", []string{TaskEnvDefault, "OPENAI_API_KEY"}, true},
		{"OPENAI_API_KEY", []string{TaskEnvDefault, "OPENAI_API_KEY"}, true},
		{"ANTHROPIC_API_KEY", []string{TaskEnvDefault, "OPENAI_API_KEY"}, false},
		{"OPENAI_API_KEY", []string{"A", " OPENAI_API_KEY "}, true},
	}
	getenv := func(name string) (string, bool) { return "", name == "SELFMADE_BASE_URL" }
	for _, tt := range tests {
		if got := TaskMayRead(tt.name, tt.allowed, getenv); got != tt.want {
			t.Errorf("%s with %v allowed: %v", tt.name, tt.allowed, got)
		}
	}
}

func TestTheWorkersOwnVariablesStayOutOfTemplates(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"OPENAI_API_KEY": "secret", "JUDGE_TOKEN": "judge"}
	w := &Worker{c: Config{Getenv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}}
	if v, ok := w.taskGetenv(map[string]string{"OPENAI_API_KEY": "given"})("OPENAI_API_KEY"); !ok || v != "given" {
		t.Errorf("what came with the submission is %q, %v", v, ok)
	}
	getenv := w.taskGetenv(nil)
	if v, ok := getenv("OPENAI_API_KEY"); ok || v != "" {
		t.Errorf("a provider's key is given: %q", v)
	}
	if v, ok := getenv("JUDGE_TOKEN"); !ok || v != "judge" {
		t.Errorf("got %q, %v", v, ok)
	}
}
