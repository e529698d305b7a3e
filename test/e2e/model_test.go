package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"oddish/api"
)

// providerKey is the worker's key of the model's provider, which no sandbox may see.
const providerKey = "sk-ant-e2e-that-no-sandbox-may-see"

// The model answers every call of a small agent with the same usage.
const modelScript = `
keys: [` + providerKey + `]
turns:
  - text: hello
    usage: {input: 1000, cache_read: 300, output: 20}
`

// callModel is what a shell needs to call the model: call prints status line and answer to a word.
const callModel = `
call() {
	local address=${ODDISH_MODEL_BASE_URL#http://} body
	body='{"model":"claude-sonnet-4-5","max_tokens":1000,"messages":[{"role":"user","content":"'"${1:-hi}"'"}],"tools":[{"name":"Bash","input_schema":{"type":"object"}}]}'
	local host=${address%%/*} path=/${address#*/}
	exec 3<>/dev/tcp/${host%:*}/${host#*:} || return
	printf 'POST %s/v1/messages HTTP/1.0\r\nHost: model\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' "$path" "${#body}" "$body" >&3
	cat <&3
	exec 3>&-
}
`

// startModel starts a scripted model and gives the variables that make it Anthropic's.
func startModel(t *testing.T, script string) []string {
	t.Helper()
	vars, _ := startModelProcess(t, script)
	return vars
}

func startModelProcess(t *testing.T, script string) (vars []string, model *process) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script.yaml")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	h := &home{t: t, vars: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}}
	model = h.start("dev", "fake-model", "--script", file, "--listen", address)
	eventually(t, "a model at "+address, func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	return []string{"ANTHROPIC_BASE_URL=http://" + address, "ANTHROPIC_API_KEY=" + providerKey}, model
}

// runCommandAgent runs a shell script as agent on a task without network.
func (h *home) runCommandAgent(script string, more ...string) (document, trialOfRun) {
	h.t.Helper()
	tasks := recipe{environment: "network_mode = \"no-network\""}.folder(h.t, "caller")
	return h.runOne(tasks, "command", append([]string{"-m", "anthropic/claude-sonnet-4-5", "--ak", "run=" + callModel + script}, more...)...)
}

// An agent in a sandbox without network reaches its model and nothing else, finds no key anywhere, and what it used is known to
// the token.
func TestAnAgentCallsItsModelThroughTheGateway(t *testing.T) {
	t.Parallel()
	vars := startModel(t, modelScript)
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind, vars...)
		d, trial := h.runCommandAgent(fmt.Sprintf(`
call; call
timeout 3 bash -c 'exec 3<>/dev/tcp/192.0.2.1/80' 2>/dev/null && echo "internet reached"
key='[s]%s' # finds the key, and not itself
{ cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -a -q "$key"; } && echo "key in a process"
timeout 30 grep -r -l -a -s "$key" /etc /home /root /tmp /app /var/tmp /oddish /logs /run && echo "key in a file"
env | grep -q "$key" && echo "key in the environment"
echo looked
`, providerKey[1:]))
		passed().check(t, trial)
		out := readFile(t, filepath.Join(h.trialDir(d.ExperimentID, "caller"), "agent", "command.txt"))
		if strings.Count(out, "200 OK") != 2 || !strings.Contains(out, "looked") || strings.Contains(out, "reached") || strings.Contains(out, "key in") {
			t.Errorf("the agent says:\n%s", out)
		}
		if number(trial.InputTokens) != 2000 || number(trial.CacheTokens) != 600 || number(trial.OutputTokens) != 40 || number(trial.ModelCalls) != 2 {
			t.Errorf("usage: %+v", trial)
		}
		const usd = 2 * (700*3 + 300*0.3 + 20*15) / 1e6
		if trial.CostUSD == nil || *trial.CostUSD != usd {
			t.Errorf("the cost is %v, want %v", trial.CostUSD, usd)
		}
		log := readFile(t, filepath.Join(h.trialDir(d.ExperimentID, "caller"), "model-requests.jsonl"))
		if strings.Count(log, "\n") != 2 || strings.Contains(log, providerKey) {
			t.Errorf("the log of requests:\n%s", log)
		}
		h.noSandboxLeft()
	})
}

func number(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

// A trial without its provider's key fails before its sandbox starts, and says what is missing.
func TestAMissingKeyIsNamed(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	h := newHome(t, kindBuiltin)
	_, trial := h.runCommandAgent("call")
	if trial.Status != "failed" || trial.errorType() != "MissingApiKeyError" || !strings.Contains(*trial.ErrorMessage, "ANTHROPIC_API_KEY") {
		t.Errorf("trial: %+v", trial)
	}
}

// Budgets stop agents: a trial's own, and that of the experiment, whose later trials do not start. Neither gives a score.
func TestBudgetsStopAgents(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	h := newHome(t, kindBuiltin, startModel(t, modelScript)...)
	d, trial := h.runCommandAgent("call; call; call", "--trial-budget", "2calls")
	if trial.Status != "failed" || trial.errorType() != "BudgetExceeded" || trial.Reward != nil || number(trial.ModelCalls) != 2 {
		t.Errorf("trial: %+v", trial)
	}
	out := readFile(t, filepath.Join(h.trialDir(d.ExperimentID, "caller"), "agent", "command.txt"))
	if strings.Count(out, "200 OK") != 2 || strings.Count(out, "400 Bad Request") != 1 {
		t.Errorf("the agent says:\n%s", out)
	}

	_, trial = h.runCommandAgent("call", "--budget", "1000tok", "-E", "shared")
	passed().check(t, trial) // its only call is what used the budget up
	d, trial = h.runCommandAgent("call", "-E", "shared", "--again")
	if trial.errorType() != "BudgetExceeded" || number(trial.ModelCalls) != -1 {
		t.Errorf("the next trial: %+v", trial)
	}
	if b := h.experiment(d.ExperimentID).Experiment.Budget; b == nil || !b.Exceeded || b.SpentTokens != 1020 || b.SpentCalls != 1 {
		t.Errorf("the experiment's budget: %+v", b)
	}
}

// A rate limit is waited out for the agent, and lowers the limit of the model's queue.
func TestARateLimitIsWaitedOutAndToldToTheQueue(t *testing.T) {
	t.Parallel()
	needKind(t, kindBuiltin)
	h := newHome(t, kindBuiltin, startModel(t, modelScript+"faults: [{kind: rate_limit, times: 1, retry_after: \"1\"}]\n")...)
	_, trial := h.runCommandAgent("call")
	passed().check(t, trial)
	var q api.QueueKeyHistory
	h.ok("queue", "anthropic/claude-sonnet-4-5", "--json").decode(t, &q)
	if len(q.Changes) == 0 || q.Changes[len(q.Changes)-1].Kind != "rate_limit" {
		t.Errorf("the queue key: %+v", q)
	}
}

// A worker that is killed while an agent works is followed by one that serves the same gateway, and no token is forgotten.
func TestAKilledWorkersGatewayIsServedAgain(t *testing.T) {
	t.Parallel()
	vars := startModel(t, modelScript)
	eachKind(t, func(t *testing.T, kind string) {
		h := newHome(t, kind, append(vars, "ODDISH_AUTO_START_WORKERS=false")...)
		h.start("api")
		h.waitServer()
		worker := h.start("worker", "--env", kind)
		tasks := recipe{environment: "network_mode = \"no-network\""}.folder(t, "caller")
		h.ok("run", "-p", tasks, "-a", "command", "-m", "anthropic/claude-sonnet-4-5", "-E", "e", "--background",
			"--ak", "run="+callModel+`
call
sleep 6
until call | tee /tmp/answer | grep -q "200 OK"; do sleep 1; done
`)
		calls := func(n int64) func() bool {
			return func() bool {
				o := h.run("status", "--json", "-e", "e")
				var e experiment
				o.decode(t, &e)
				return len(e.Trials) == 1 && number(e.Trials[0].ModelCalls) == n
			}
		}
		eventually(t, "the first call", calls(1))
		worker.signal(syscall.SIGKILL)
		worker.wait()
		worker = h.start("worker", "--env", kind)
		worker.waitSays(`"resumed":1`)
		var after experiment
		h.ok("status", "-e", "e", "--watch", "--json").decode(t, &after)
		trial := after.Trials[0]
		if trial.Status != api.StatusSuccess || trial.Attempts != 1 || number(trial.ModelCalls) != 2 || number(trial.InputTokens) != 2000 || number(trial.OutputTokens) != 40 {
			t.Errorf("trial: %s after %d attempts, %d calls, %d and %d tokens (%v)", trial.Status, trial.Attempts,
				number(trial.ModelCalls), number(trial.InputTokens), number(trial.OutputTokens), trial.ErrorType)
		}
		h.noSandboxLeft()
	})
}
