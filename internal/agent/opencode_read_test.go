package agent

import (
	"os"
	"strings"
	"testing"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

func TestOpencodesSessionsAreRead(t *testing.T) {
	t.Parallel()
	const steps = "agent: I will write the file. | bash = (no output)\nagent: The file out.txt now says hello."
	log := report(t, "opencode", "testdata/opencode/ok")
	wantOutline(t, log.Trajectory, "user: \"write hello to out.txt\"\n"+steps)
	output, err := os.ReadFile("testdata/opencode/ok/opencode.txt")
	if err != nil {
		t.Fatal(err)
	}
	alone := report(t, "opencode", lay(t, map[string]string{"opencode.txt": string(output), "opencode/sessions/x.json": `{"info":{"id":"x"`}))
	wantOutline(t, alone.Trajectory, "user: do it\n"+steps)
	for _, l := range []*Log{log, alone} {
		checkUsage(t, l)
		if l.CostUSD == nil || l.Trajectory.Steps[1].ReasoningContent != "The file does not exist yet." || *l.Trajectory.Steps[1].Metrics.PromptTokens != 1253 {
			t.Errorf("cost %v, step %+v", l.CostUSD, l.Trajectory.Steps[1])
		}
	}
}

func TestOpencodesSubAgentsAndPicturesAreKept(t *testing.T) {
	t.Parallel()
	log := report(t, "opencode", "testdata/opencode/subagents")
	wantOutline(t, log.Trajectory, `
user: "What colour is red.png?"
agent: I will look at the picture. | read = <image/png>
agent: Somebody else may look. | task = <task id="ses_dee44a196ffe6BSlkh9RHOdkHj" state="completed"> -> ses_dee44a196ffe6BSlkh9RHOdkHj
agent: It is red.`)
	sub := &log.Trajectory.SubTrajectories[0]
	if got := outline(sub); !strings.HasPrefix(got, "user: Look for the file that says hello.\nagent: I will look at the picture. | read = <image/png>") {
		t.Errorf("the sub-agent's steps are\n%s", got)
	}
	if *log.Usage.InputTotal != 2*201500 || *log.Usage.OutputTotal != 2*40 {
		t.Errorf("usage is %+v", log.Usage)
	}
}

func TestOpencodesCompactionIsAStepOfTheSystem(t *testing.T) {
	t.Parallel()
	log := report(t, "opencode", "testdata/opencode/compaction")
	wantOutline(t, log.Trajectory, `
user: "write hello to out.txt"
system: The agent has put a summary in the place of the conversation (compaction)
agent: ok
user: The previous request exceeded the provider's size limit due `)
}

// Harbor test list #60
func TestAnErrorEventOfOpencodeIsItsFailure(t *testing.T) {
	t.Parallel()
	d := definition(t, "opencode")
	for name, c := range map[string]struct {
		dir, event, want string
	}{
		"a wrong key":                  {"testdata/opencode/auth", "", result.AgentAuthenticationError},
		"an unknown model":             {"testdata/opencode/unknown_model", "", result.ModelNotFoundError},
		"a conversation too long":      {"", `{"type":"error","error":{"name":"ContextOverflowError","data":{"message":"too long"}}}`, result.ContextWindowExceededError},
		"asked too often":              {"", `{"type":"error","error":{"name":"APIError","data":{"message":"slow down","statusCode":429}}}`, result.APIRateLimitError},
		"too busy":                     {"", `{"type":"error","error":{"name":"APIError","data":{"message":"Overloaded","statusCode":529}}}`, result.APIOverloadedError},
		"one that the model got over":  {"", `{"type":"step_start"}` + "\n" + `{"type":"error","error":{"name":"APIError","data":{"statusCode":500}}}` + "\n" + `{"type":"step_finish","part":{"tokens":{"input":1,"output":1}}}`, ""},
		"one of which nothing is told": {"", `{"type":"error","error":{"name":"UnknownError","data":{}}}`, result.UnknownAPIError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := c.dir
			if dir == "" {
				dir = lay(t, map[string]string{"opencode.txt": c.event + "\n"})
			}
			log, err := d.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := errorType(judge(d, log, sandbox.Exit{}, nil, "")); got != c.want {
				t.Errorf("error is %q, want %q: %+v", got, c.want, log.Failure)
			}
		})
	}
}
