package trial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"oddish/api"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/sandbox/fake"
)

// separateTask is a task whose verifier runs in a sandbox of its own; toml comes first.
func separateTask(t testing.TB, toml string, changes map[string]string) string {
	t.Helper()
	files := map[string]string{"task.toml": toml + taskFiles(nil)["task.toml"] + "[verifier.environment]\nworkdir = \"/app\"\n[verifier.environment.oddish]\nimage = \"host\"\n"}
	for name, content := range changes {
		files[name] = content
	}
	return writeTask(t, files)
}

// Harbor test list #33
func TestASeparateVerifierSeesTheArtifactsAndNothingElseOfTheAgent(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	dir := separateTask(t, "artifacts = [\"/app/out\", \"report.txt\", {source = \"/app/a/b.txt\", destination = \"renamed.txt\"}, \"/app/missing\"]\n", map[string]string{
		"tests/Dockerfile": "FROM scratch\n",
		"tests/data":       "hidden\n",
		"solution/solve.sh!": `#!/bin/bash
ls /tests 2>/dev/null && echo saw the tests
mkdir -p /app/out/deep /app/a; echo o >/app/out/deep/o.txt; echo r >/app/report.txt; echo b >/app/a/b.txt; echo a >/logs/artifacts/a; echo secret >/app/secret
`,
		"tests/test.sh!": `#!/bin/bash
cat /app/out/deep/o.txt /app/report.txt /app/a/b.txt /logs/artifacts/a /tests/data
ls -A /app /logs/agent /tests
echo 1 >/logs/verifier/reward.txt
`,
	})
	o := Run(t.Context(), config(t, p, dir))
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	wantReward(t, o.Finish, map[string]float64{"reward": 1})
	if len(p.boxes) != 2 || !p.boxes[0].stopped || !p.boxes[1].stopped {
		t.Fatalf("%d sandboxes", len(p.boxes))
	}
	got := strings.ReplaceAll(readFile(t, o, "verifier/test-stdout.txt"), p.boxes[1].root, "")
	want := "o\nr\nb\na\nhidden\n/app:\na\nout\nreport.txt\n\n/logs/agent:\n\n/tests:\ndata\ntest.sh\n"
	if got != want {
		t.Errorf("the tests saw\n%s\nwant\n%s", got, want)
	}
	if text := readFile(t, o, "agent/oracle.txt"); text != "" {
		t.Errorf("the agent said %q", text)
	}
	if r := readTrial(t, o); r.VerifierEnvironmentMode == nil || *r.VerifierEnvironmentMode != "separate" || !strings.Contains(readFile(t, o, "lock.json"), `"environment_mode": "separate"`) {
		t.Errorf("the mode is %v", r.VerifierEnvironmentMode)
	}
	for _, u := range p.boxes[0].users {
		if strings.HasPrefix(u, "verifier=") {
			t.Error("the tests ran in the agent's sandbox")
		}
	}
}

// linkedTask is a task whose agent leaves links and a program, and whose verifier, in a sandbox of its own, tells what of them it finds.
func linkedTask(t *testing.T) string {
	return separateTask(t, "artifacts = [\"/app/out\", \"/app/tool\"]\n", map[string]string{
		"tests/Dockerfile": "FROM scratch\n", "tests/answer": "42\n",
		"solution/solve.sh!": `#!/bin/bash
mkdir -p /app/out/lib; cd /app/out; echo '#!/bin/bash' >lib/run; chmod +x lib/run; echo text >lib/text
printf '#!/bin/bash\n' >/app/tool; chmod 755 /app/tool; echo secret >/app/secret
ln -s lib/run run; ln -s ../run lib/back; ln -s lib folder; ln -s "$PWD/lib/text" whole
ln -s ../secret near; ln -s /tests/answer answer; ln -s lib/../../secret wound; ln -s /app/secret far
`,
		"tests/test.sh!": `#!/bin/bash
cd /app/out
for f in run lib/back folder whole near answer wound far; do [ -L $f ] && echo "$f -> $(readlink $f)"; done
for f in run folder/run /app/tool lib/text; do [ -x $f ] && echo "$f runs"; done
cat folder/text whole
echo 1 >/logs/verifier/reward.txt
`,
	})
}

// What linkedTask's verifier finds. A link that left, as one to the answer, would let the verifier read elsewhere what it takes for the agent's work.
const linksFound = "run -> lib/run\nlib/back -> ../run\nfolder -> lib\nwhole -> lib/text\nrun runs\nfolder/run runs\n/app/tool runs\ntext\ntext\n"

func TestLinksThatStayInAnArtifactReachASeparateVerifierAndOthersDoNot(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	o := Run(t.Context(), config(t, p, linkedTask(t)))
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	got := strings.ReplaceAll(readFile(t, o, "verifier/test-stdout.txt"), p.boxes[1].root, "")
	if got != linksFound {
		t.Errorf("the tests found\n%s\nwant\n%s", got, linksFound)
	}
	if exists(o, "artifacts/app/out/run") || !exists(o, "artifacts/app/out/lib/run") {
		t.Error("a link was made on this machine, or a file is missing")
	}
	log := readFile(t, o, "trial.log")
	for _, name := range []string{"near", "answer", "wound", "far"} {
		if !strings.Contains(log, "file="+name+" ") {
			t.Errorf("trial.log does not say that %s was left out", name)
		}
	}
}

func TestCollectCommandsRunBeforeArtifactsAreTaken(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	toml := taskFiles(nil)["task.toml"] + `
[[verifier.collect]]
command = "echo patch >/logs/artifacts/model.patch"
user = "maker"
[[verifier.collect]]
command = "echo no luck; exit 3"
[[verifier.collect]]
command = "echo slow; exec sleep 60"
timeout_sec = 0.2
`
	o := Run(t.Context(), config(t, p, writeTask(t, map[string]string{"task.toml": toml})))
	wantFinish(t, o.Finish, api.StatusSuccess, "", "")
	if got := readFile(t, o, "artifacts/logs/artifacts/model.patch"); got != "patch\n" {
		t.Errorf("the patch is %q", got)
	}
	log := readFile(t, o, "trial.log")
	for _, want := range []string{"collect command ran", "collect command failed", "no luck", "collect command took too long"} {
		if !strings.Contains(log, want) {
			t.Errorf("trial.log does not say %q", want)
		}
	}
	if !strings.Contains(strings.Join(p.boxes[0].users, " "), "collect=maker") {
		t.Errorf("users are %q", p.boxes[0].users)
	}
}

// Harbor test list #34
func TestASeparateVerifierOfOneStep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		one, two string
		stopped  bool // the agent's sandbox, when the verifier's starts
	}{
		"of the last": {"", "[steps.verifier.environment.oddish]\nimage = \"host\"\n", true},
		"of another":  {"[steps.verifier.environment.oddish]\nimage = \"host\"\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newLocal(t)
			o := Run(t.Context(), config(t, p, stepsTask(t, "artifacts = [\"/app/done\"]\n", c.one, c.two, nil)))
			wantFinish(t, o.Finish, api.StatusSuccess, "", "")
			wantReward(t, o.Finish, map[string]float64{"reward": 1.5})
			if len(p.boxes) != 2 || p.boxes[1].spec.Name != "demo__AbCdEfG-verifier" {
				t.Errorf("%d sandboxes", len(p.boxes))
			}
		})
	}
}

func TestASeparateVerifierThatCannotBeMadeIsRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verifier string
		changes  map[string]string
		caps     sandbox.Capabilities
		want     string // of the message; empty: it runs
		image    sandbox.Image
	}{
		"no image at all":          {"", nil, sandbox.Capabilities{HostImage: true, Build: true, Images: true}, "has no image", sandbox.Image{}},
		"a Dockerfile, not built":  {"", map[string]string{"tests/Dockerfile": "FROM scratch\n"}, sandbox.Capabilities{HostImage: true}, "builds no Dockerfiles", sandbox.Image{}},
		"an image, not run":        {"docker_image = \"v\"\n", nil, sandbox.Capabilities{HostImage: true}, "has no image", sandbox.Image{}},
		"a network, not cut off":   {"docker_image = \"v\"\nnetwork_mode = \"no-network\"\n", nil, sandbox.Capabilities{HostImage: true, Images: true}, "cannot cut the network off", sandbox.Image{}},
		"a variable that is unset": {"docker_image = \"v\"\nenv = {A = \"${UNSET}\"}\n", nil, sandbox.Capabilities{HostImage: true, Images: true}, "UNSET", sandbox.Image{}},
		"an image":                 {"docker_image = \"v\"\n", nil, sandbox.Capabilities{HostImage: true, Images: true}, "", sandbox.Image{Reference: "v"}},
		"a Dockerfile":             {"", map[string]string{"tests/Dockerfile": "FROM scratch\n"}, sandbox.Capabilities{HostImage: true, Build: true}, "", sandbox.Image{Context: "tests"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"task.toml": taskFiles(nil)["task.toml"] + "[verifier.environment]\n" + c.verifier}
			for k, v := range c.changes {
				files[k] = v
			}
			p := newLocal(t)
			p.caps = c.caps
			o := Run(t.Context(), config(t, p, writeTask(t, files)))
			if c.want != "" {
				if len(p.boxes) > 0 || o.Finish.ErrorClass != api.ClassPermanent || !strings.Contains(o.Finish.ErrorMessage, c.want) {
					t.Errorf("%d sandboxes, finish %+v", len(p.boxes), o.Finish)
				}
				return
			}
			// The image brings no tests here, which is told.
			wantFinish(t, o.Finish, api.StatusFailed, result.FileNotFoundError, api.ClassPermanent)
			if len(p.boxes) != 2 || !strings.Contains(o.Finish.ErrorMessage, "has no /tests/test.sh") {
				t.Fatalf("%d sandboxes, finish %+v", len(p.boxes), o.Finish)
			}
			got := p.boxes[1].spec.Image
			if (got.Context != "") != (got.Digest != "") {
				t.Errorf("image is %+v", got)
			}
			if got.Digest = ""; got.Context != "" {
				got.Context = filepath.Base(got.Context)
			}
			if got != c.image {
				t.Errorf("image is %+v, want %+v", got, c.image)
			}
		})
	}
}

// longSeparate is a trial with a separate verifier, in sandboxes that take their time.
func longSeparate(t *testing.T) (Config, *mortal) {
	t.Helper()
	m := &mortal{Provider: fake.New()}
	c := config(t, m, separateTask(t, "artifacts = [\"/logs/agent\"]\n", nil))
	c.Spec.Harbor.Environment = &api.EnvironmentConfig{Kwargs: map[string]string{"start_duration": "5s", "duration": "60s", "verify_duration": "20s", "reward": "1"}}
	return c, m
}

func TestASeparateVerifierGoesOnWhereADeadProcessLeftIt(t *testing.T) {
	t.Parallel()
	for die, started := range map[string]int{
		"in agent": 2, "exec is-dir": 2, "stop": 2, "stopped": 2, "exec hand-over": 2, "upload /tests": 2, "run verifier": 2, "in verifier": 2, "ran verifier": 2,
	} {
		t.Run("killed at "+die, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, m := longSeparate(t)
				m.die = []string{die}
				o := survived(t, c)
				wantFinish(t, o.Finish, api.StatusSuccess, "", "")
				wantReward(t, o.Finish, map[string]float64{"reward": 1})
				if len(m.die) > 0 || m.Provider.Started() != started || m.Running() != 0 {
					t.Errorf("%d sandboxes were started, %d are left, deaths to come: %v; calls %v", m.Provider.Started(), m.Running(), m.die, m.calls)
				}
				if m.count("run agent") > 2 {
					t.Errorf("calls: %v", m.calls)
				}
			})
		})
	}
}

func TestASeparateVerifierWhoseSandboxIsGoneBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, m := longSeparate(t)
		m.die = []string{"in verifier"}
		died := make(chan struct{})
		go func() { defer close(died); Run(t.Context(), c) }()
		<-died
		m.removeAll(t)
		c.Resume = true
		o := Run(t.Context(), c)
		wantFinish(t, o.Finish, api.StatusSuccess, "", "")
		wantReward(t, o.Finish, map[string]float64{"reward": 1})
		if m.Provider.Started() != 3 || m.Running() != 0 || m.count("run agent") != 1 {
			t.Errorf("%d sandboxes were started, %d are left; calls %v", m.Provider.Started(), m.Running(), m.calls)
		}
	})
}

func TestASeparateVerifierOutOfTimeLeavesItsLogs(t *testing.T) {
	t.Parallel()
	p := newLocal(t)
	c := config(t, p, separateTask(t, "", map[string]string{"tests/test.sh!": "#!/bin/bash\necho begun; sleep 60 & wait\n"}))
	c.Spec.Harbor.Verifier = &api.VerifierConfig{OverrideTimeoutSec: ptr(0.5)}
	o := Run(t.Context(), c)
	wantFinish(t, o.Finish, api.StatusFailed, result.VerifierTimeoutError, api.ClassResult)
	if got := readFile(t, o, "verifier/test-stdout.txt"); got != "begun\n" {
		t.Errorf("test-stdout.txt is %q", got)
	}
	if len(p.boxes) != 2 || !p.boxes[1].stopped {
		t.Error("the verifier's sandbox was not stopped")
	}
	if _, err := os.Stat(p.boxes[0].host("/tests")); err == nil {
		t.Error("the tests came into the agent's sandbox")
	}
}
