package agent

import (
	"os"
	"path/filepath"
	"testing"

	"oddish/internal/atif"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// The logs of these agents are made from the formats that their makers publish; see the README beside each.
func TestLogsOfPublishedFormatsAreRead(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]int{"goose": 3, "cursor-cli": 3, "swe-agent": 4, "trae-agent": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := New(name, Options{Model: "provider/model"})
			if err != nil {
				t.Fatal(err)
			}
			log, err := made.(Reporter).Report(filepath.Join("testdata", name, "ok"), "1.2.3", "write hello to out.txt")
			if err != nil {
				t.Fatal(err)
			}
			tr := log.Trajectory
			if err := tr.Validate(); err != nil {
				t.Fatal(err)
			}
			n := len(tr.Steps)
			if n != steps || tr.Steps[n-3].Source != atif.SourceUser || tr.Steps[n-3].Message.Text != "write hello to out.txt" || tr.Steps[n-1].Message.Text != "The file out.txt now says hello." {
				t.Fatalf("steps are %+v", tr.Steps)
			}
			checkWork(t, name, &tr.Steps[n-2])
			if name == "swe-agent" { // counts no cache
				if *log.Usage.InputTotal != 2850 || *log.Usage.OutputTotal != 54 || log.Usage.CacheRead != nil {
					t.Errorf("usage is %+v", log.Usage)
				}
			} else {
				checkUsage(t, log)
			}
			if told := definition(t, name).Tells; told.Tokens != log.Usage.Known() || told.Cost != (log.CostUSD != nil) {
				t.Errorf("it tells usage %+v and cost %v, and is said to tell %+v", log.Usage, log.CostUSD, told)
			}
			if log.Failure != nil {
				t.Errorf("failure is %+v", log.Failure)
			}
		})
	}
}

// checkWork looks at the step in which the agent does its work.
func checkWork(t *testing.T, name string, s *atif.Step) {
	t.Helper()
	if s.Message.Text != "I will write the file." || len(s.ToolCalls) != 1 || s.ToolCalls[0].Arguments["command"] != "echo hello > out.txt" {
		t.Errorf("the step is %+v", s)
	}
	if s.Observation == nil || len(s.Observation.Results) != 1 || s.Observation.Results[0].SourceCallID != s.ToolCalls[0].ID || s.Observation.Results[0].Content.Text == "" {
		t.Errorf("the tool gave %+v", s.Observation)
	}
	if name != "trae-agent" && s.ReasoningContent != "The file does not exist yet." { // it keeps none
		t.Errorf("reasoning is %q", s.ReasoningContent)
	}
}

func TestFailuresOfPublishedFormatsGetTheirNames(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"auth": result.AgentAuthenticationError, "rate_limit": result.APIRateLimitError, "context": result.ContextWindowExceededError,
		"server_error": result.APIInternalServerError, "unknown_model": result.ModelNotFoundError,
	} {
		for _, name := range []string{"goose", "cursor-cli", "swe-agent", "trae-agent"} {
			dir := filepath.Join("testdata", name, kind)
			if _, err := os.Stat(dir); err != nil {
				continue
			}
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				d := definition(t, name)
				log, err := d.Read(dir)
				if err != nil {
					t.Fatal(err)
				}
				for _, code := range []int{0, 1} { // whatever the status says
					if got := errorType(judge(d, log, sandbox.Exit{Code: code}, nil, endOf(filepath.Join(dir, d.Output), 1500))); got != want {
						t.Errorf("with exit status %d the error is %s, want %s: %+v", code, got, want, log.Failure)
					}
				}
			})
		}
	}
}

func TestALogThatIsCutOffIsRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"goose", "cursor-cli", "swe-agent", "trae-agent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, dir, cut := definition(t, name), filepath.Join("testdata", name, "ok"), t.TempDir()
			if log, err := d.Read(cut); err != nil || log.Answered || log.Trajectory != nil {
				t.Errorf("of nothing it reads %+v, %v", log, err)
			}
			err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				rel, err := filepath.Rel(dir, path)
				if err != nil {
					return err
				}
				to := filepath.Join(cut, rel)
				if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
					return err
				}
				return os.WriteFile(to, data[:len(data)*2/3], 0o644)
			})
			if err != nil {
				t.Fatal(err)
			}
			if log, err := d.Read(cut); err != nil || log.Usage.Known() {
				t.Errorf("read %+v, %v", log, err)
			}
		})
	}
}
