package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadGivesDefaults(t *testing.T) {
	t.Parallel()
	c, err := Load(t.TempDir(), []string{"HOME=/home/ann"})
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/home/ann/.local/share/oddish" {
		t.Errorf("DataDir = %q", c.DataDir)
	}
	if c.DefaultModelConcurrency != 8 || !c.AutoStartWorkers || c.DrainTimeout != 30*time.Second {
		t.Errorf("defaults: %+v", c)
	}
	if got := c.DatabaseURL("/data"); got != "sqlite:////data/oddish.db" {
		t.Errorf("DatabaseURL = %q", got)
	}
	if c.Slots() < 8 {
		t.Errorf("slots %d", c.Slots())
	}
}

func TestDataDirectoryIsFoundFromTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		env  []string
		want string
	}{
		{"set", []string{"ODDISH_DATA_DIR=/d", "XDG_DATA_HOME=/x", "HOME=/h"}, "/d"},
		{"xdg", []string{"XDG_DATA_HOME=/x", "HOME=/h"}, "/x/oddish"},
		{"relative xdg is ignored", []string{"XDG_DATA_HOME=x", "HOME=/h"}, "/h/.local/share/oddish"},
		{"empty counts as unset", []string{"ODDISH_DATA_DIR=", "HOME=/h"}, "/h/.local/share/oddish"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := Load(t.TempDir(), tc.env)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.RequireDataDir(); got != tc.want || err != nil {
				t.Errorf("RequireDataDir() = %q, %v; want %q", got, err, tc.want)
			}
		})
	}
	c, err := Load(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.RequireDataDir(); !errors.Is(err, ErrNoDataDir) {
		t.Errorf("without a home: %v", err)
	}
}

func TestDatabaseURLPrefersTheMoreSpecificName(t *testing.T) {
	t.Parallel()
	c, err := Load(t.TempDir(), []string{"DATABASE_URL=postgres://a/b", "HOME=/h"})
	if err != nil || c.DatabaseURL("/d") != "postgres://a/b" {
		t.Errorf("%q, %v", c.DatabaseURL("/d"), err)
	}
	c, err = Load(t.TempDir(), []string{"DATABASE_URL=postgres://a/b", "ODDISH_DATABASE_URL=sqlite:///x", "HOME=/h"})
	if err != nil || c.DatabaseURL("/d") != "sqlite:///x" {
		t.Errorf("%q, %v", c.DatabaseURL("/d"), err)
	}
}

func TestBadValuesNameTheVariable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ env, variable, msg string }{
		{"ODDISH_DEFAULT_MODEL_CONCURRENCY=many", "ODDISH_DEFAULT_MODEL_CONCURRENCY", `"many"`},
		{"ODDISH_DEFAULT_MODEL_CONCURRENCY=0", "ODDISH_DEFAULT_MODEL_CONCURRENCY", "1 or more"},
		{"ODDISH_MODEL_CONCURRENCY_OVERRIDES={", "ODDISH_MODEL_CONCURRENCY_OVERRIDES", "JSON object"},
		{`ODDISH_MODEL_CONCURRENCY_OVERRIDES={"a":-2}`, "ODDISH_MODEL_CONCURRENCY_OVERRIDES", "-2"},
		{"ODDISH_AUTO_START_WORKERS=perhaps", "ODDISH_AUTO_START_WORKERS", "perhaps"},
		{"ODDISH_API_URL=localhost:8000", "ODDISH_API_URL", "http://localhost:8000"},
		{"ODDISH_API_PORT=70000", "ODDISH_API_PORT", "65535"},
		{"ODDISH_DRAIN_TIMEOUT=30", "ODDISH_DRAIN_TIMEOUT", "missing unit"},
		{"ODDISH_LEASE=1s", "ODDISH_LEASE", "1s is too short: want 2s or more"},
		{"ODDISH_DAILY_BUDGET=50", "ODDISH_DAILY_BUDGET", "such as 25usd"},
		{"ODDISH_LOG_LEVEL=loud", "ODDISH_LOG_LEVEL", "loud"},
		{"ODDISH_LOG_FORMAT=xml", "ODDISH_LOG_FORMAT", "xml"},
		{"ODDISH_WORKER_SLOTS=-3", "ODDISH_WORKER_SLOTS", "0 or more"},
	} {
		t.Run(tc.env, func(t *testing.T) {
			t.Parallel()
			_, err := Load(t.TempDir(), []string{"HOME=/h", tc.env})
			var e *Error
			if !errors.As(err, &e) || e.Var != tc.variable || !strings.Contains(e.Msg, tc.msg) {
				t.Errorf("Load: %v; want an error of %s with %q", err, tc.variable, tc.msg)
			}
		})
	}
}

func TestLimitsAreReadFromJSON(t *testing.T) {
	t.Parallel()
	c, err := Load(t.TempDir(), []string{"HOME=/h", `ODDISH_MODEL_CONCURRENCY_OVERRIDES={"openai/gpt-5.2":4,"local":1}`})
	if err != nil {
		t.Fatal(err)
	}
	if l := c.ModelConcurrencyOverrides; l["openai/gpt-5.2"] != 4 || l["local"] != 1 {
		t.Errorf("limits: %v", l)
	}
}

func TestDotenvAddsButDoesNotOverride(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".env"), "ANTHROPIC_API_KEY=from-file\nODDISH_WORKER_SLOTS=3\nODDISH_API_KEY=file\nnonsense\n")
	c, err := Load(dir, []string{"HOME=/h", "ODDISH_API_KEY=real"})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := c.Getenv("ANTHROPIC_API_KEY"); v != "from-file" {
		t.Errorf("ANTHROPIC_API_KEY = %q", v)
	}
	if c.APIKey != "real" || c.Slots() != 3 {
		t.Errorf("key %q, slots %d", c.APIKey, c.Slots())
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], ".env:4") {
		t.Errorf("warnings: %q", c.Warnings)
	}
}

func TestUnreadableDotenvIsAWarning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".env"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := Load(dir, []string{"HOME=/h"})
	if err != nil || len(c.Warnings) != 1 {
		t.Errorf("Load: %v, warnings %q", err, c.Warnings)
	}
}

func TestParseDotenv(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		want       map[string]string
		bad        []int
	}{
		{"plain", "A=1\nB = two words \n", map[string]string{"A": "1", "B": "two words"}, nil},
		{"export and comments", "# c\n\nexport A=1 # one\nB=a#b\n", map[string]string{"A": "1", "B": "a#b"}, nil},
		{"single quotes are literal", `A='x\n$y # z'`, map[string]string{"A": `x\n$y # z`}, nil},
		{"double quotes unescape", `A="x\n\"y\" \\n" # c`, map[string]string{"A": "x\n\"y\" \\n"}, nil},
		{"several lines", "A=\"-----\nkey\n-----\"\nB=1", map[string]string{"A": "-----\nkey\n-----", "B": "1"}, nil},
		{"empty values", "A=\nB=''\n", map[string]string{"A": "", "B": ""}, nil},
		{"windows line ends", "A=1\r\nB=2\r\n", map[string]string{"A": "1", "B": "2"}, nil},
		{"no equals sign", "A=1\nwhat\nB=2", map[string]string{"A": "1", "B": "2"}, []int{2}},
		{"bad name", "1A=1\n", map[string]string{}, []int{1}},
		{"open quote", "A=\"x\nB=2", map[string]string{"B": "2"}, []int{1}},
		{"text after a quote", "A='x' y\nB=2", map[string]string{"A": "x", "B": "2"}, []int{1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, bad := parseDotenv(tc.text)
			if len(got) != len(tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			for k, v := range tc.want {
				if got[k] != v {
					t.Errorf("%s = %q, want %q", k, got[k], v)
				}
			}
			var lines []int
			for _, b := range bad {
				lines = append(lines, b.line)
			}
			if len(lines) != len(tc.bad) || (len(lines) > 0 && lines[0] != tc.bad[0]) {
				t.Errorf("bad lines %v, want %v", lines, tc.bad)
			}
		})
	}
}

func FuzzParseDotenv(f *testing.F) {
	f.Add("A=\"x\\\nB='y\n")
	f.Fuzz(func(t *testing.T, text string) {
		vars, _ := parseDotenv(text)
		for k := range vars {
			if !dotenvKey.MatchString(k) {
				t.Errorf("key %q", k)
			}
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheDailyBudgetIsReadAsTheOthers(t *testing.T) {
	t.Parallel()
	c, err := Load(t.TempDir(), []string{"HOME=/h", "ODDISH_DAILY_BUDGET=50usd,2mtok"})
	if err != nil {
		t.Fatal(err)
	}
	if b := c.DailyBudget; b.Budget == nil || *b.USD != 50 || *b.Tokens != 2_000_000 || b.Calls != nil {
		t.Errorf("budget: %+v", b.Budget)
	}
	if c, err = Load(t.TempDir(), []string{"HOME=/h"}); err != nil || c.DailyBudget.Budget != nil {
		t.Errorf("without one: %+v, %v", c.DailyBudget.Budget, err)
	}
}
