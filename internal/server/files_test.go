package server

import (
	"slices"
	"strings"
	"testing"

	"oddish/api"
)

// withFiles runs a trial that leaves these files.
func (r *rig) withFiles(files map[string]string) api.Job {
	r.t.Helper()
	r.submit("a", 1)
	j := r.claim(1)[0]
	for path, content := range files {
		r.putFile(j, path, content)
	}
	r.finish(j, passed())
	return j
}

func TestFilesAreServedSoThatABrowserRunsNone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := r.withFiles(map[string]string{
		"page.html": "<html><script>alert(1)</script></html>", "pic.svg": "<svg onload='alert(1)'/>", "log.txt": "hello\n", "result.json": "{}",
		"image.png": "\x89PNG\r\n\x1a\n....", "fake.png": "<html>", "x.pdf": "%PDF-1.4", "x.bin": "\x00\x01\x02", "empty.txt": "", "agent/code.js": "alert(1)",
	})
	const text, binary = "text/plain; charset=utf-8", "application/octet-stream"
	for path, want := range map[string]struct{ kind, disposition string }{
		"page.html": {text, "inline"}, "pic.svg": {text, "inline"}, "log.txt": {text, "inline"}, "result.json": {text, "inline"},
		"image.png": {"image/png", "inline"}, "fake.png": {text, "inline"}, "x.pdf": {binary, "attachment"}, "x.bin": {binary, "attachment"},
		"empty.txt": {text, "inline"}, "agent/code.js": {text, "inline"},
	} {
		status, _, h := r.request("GET", "/trials/"+j.ID+"/files/"+path, nil)
		if status != 200 || h.Get("Content-Type") != want.kind || !strings.HasPrefix(h.Get("Content-Disposition"), want.disposition+"; filename=") {
			t.Errorf("%s: %d %q %q", path, status, h.Get("Content-Type"), h.Get("Content-Disposition"))
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s is not held in: %v", path, h)
		}
	}
}

func TestRangesOfFilesAreServed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := r.withFiles(map[string]string{"log.txt": "0123456789"})
	status, text, h := r.request("GET", "/trials/"+j.ID+"/files/log.txt", nil, "Range", "bytes=2-4")
	if status != 206 || text != "234" || h.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("range: %d %q %q", status, text, h.Get("Content-Range"))
	}
	status, text, h = r.request("HEAD", "/trials/"+j.ID+"/files/log.txt", nil)
	if status != 200 || text != "" || h.Get("Content-Length") != "10" {
		t.Errorf("head: %d %q %v", status, text, h)
	}
}

func TestPathsThatLeaveTheTrialsFolderFindNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := r.withFiles(map[string]string{"log.txt": "x"})
	for _, path := range []string{
		"..%2f..%2f..%2foddish.db", "%2e%2e/%2e%2e/x", "..%2flog.txt", "%2fetc%2fpasswd", "a%2f..%2flog.txt", ".%2flog.txt", "log.txt%2f", "%00", "nope.txt", "log.txt/x",
	} {
		if status, text, _ := r.request("GET", "/trials/"+j.ID+"/files/"+path, nil); status == 200 {
			t.Errorf("%s was served: %q", path, text)
		}
	}
	r.refuses(400, "GET", "/trials/"+j.ID+"/files?prefix=..%2f..", nil)
	r.refuses(404, "GET", "/trials/nope-12345678-0/files", nil)
	r.refuses(404, "GET", "/trials/..%2f..%2fx/files/log.txt", nil)
}

func TestFilesAreListed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sub := r.submit("b", 1)
	none := do[api.TrialFiles](r, "GET", "/trials/"+sub.NewTrialIDs[0]+"/files", nil)
	if len(none.Files) != 0 || none.Files == nil || none.Dirs == nil {
		t.Errorf("files of a trial that waits: %+v", none)
	}
	b := r.claim(1)[0]
	r.finish(b, passed())
	j := r.withFiles(map[string]string{"trial.log": "x", "agent/a.txt": "yy", "agent/deep/b c.txt": "zzz", "agentic.txt": "x"})
	all := do[api.TrialFiles](r, "GET", "/trials/"+j.ID+"/files", nil)
	if len(all.Files) != 4 || !all.Recursive || all.Prefix != dirOf(j)+"/" {
		t.Fatalf("all: %+v", all)
	}
	for _, f := range all.Files {
		if status, text, _ := r.request("GET", f.URL, nil); status != 200 || int64(len(text)) != f.Size || r.blob(f.Key) != text {
			t.Errorf("%s: %d %q", f.URL, status, text)
		}
	}
	top := do[api.TrialFiles](r, "GET", "/trials/"+j.ID+"/files?recursive=false", nil)
	if len(top.Files) != 2 || len(top.Dirs) != 1 || top.Dirs[0] != "agent" {
		t.Errorf("top: %+v", top)
	}
	below := do[api.TrialFiles](r, "GET", "/trials/"+j.ID+"/files?recursive=false&prefix=agent", nil)
	if len(below.Files) != 1 || len(below.Dirs) != 1 || below.Dirs[0] != "agent/deep" {
		t.Errorf("below: %+v", below)
	}
}

func TestLogsAreGatheredAndSorted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := r.withFiles(map[string]string{
		"trial.log": "tl", "exception.txt": "boom", "agent/oracle.txt": "or", "agent/setup/stdout.txt": "se", "agent/command-10/stdout.txt": "c10",
		"agent/command-2/stdout.txt": "c2", "verifier/test-stdout.txt": "ve", "verifier/test-stderr.txt": "er", "verifier/reward.txt": "1",
		"agent/notes": "no", "artifacts/out.bin": "bin", "config.json": "{}", "agent/binary": "a\x00b", "result.json": `{"a": 1}`,
	})
	logs := do[api.TrialLogs](r, "GET", "/trials/"+j.ID+"/logs", nil)
	contains(t, logs.Logs, "=== "+dirOf(j)+"/agent/oracle.txt ===\nor\n\n=== ", "test-stdout.txt ===\nve", "notes ===\nno")
	if containsAny(logs.Logs, "{}", "a\x00b", "bin ===") || *logs.S3Key != dirOf(j) {
		t.Errorf("logs: %+v", logs)
	}
	s := do[structuredLogs](r, "GET", "/trials/"+j.ID+"/logs/structured", nil)
	if *s.Agent.Oracle != "or" || *s.Agent.Setup != "se" || *s.Verifier.Stdout != "ve" || *s.Verifier.Stderr != "er" || *s.Exception != "boom" {
		t.Errorf("structured: %+v", s)
	}
	if len(s.Agent.Commands) != 2 || s.Agent.Commands[0].Content != "c2" || s.Agent.Commands[1].Content != "c10" || len(s.Other) != 3 {
		t.Errorf("structured: %+v", s)
	}
	if _, text, h := r.request("GET", "/trials/"+j.ID+"/result", nil); text != `{"a": 1}` || h.Get("Content-Type") != "application/json" {
		t.Errorf("result: %q of %q", text, h.Get("Content-Type"))
	}
	if _, text, _ := r.request("GET", "/trials/"+j.ID+"/trajectory", nil); text != "null" {
		t.Errorf("trajectory: %q", text)
	}
	r.refuses(404, "GET", "/trials/nope-12345678-0/logs", nil)
	r.refuses(404, "GET", "/trials/nope-12345678-0/trajectory", nil)
}

func TestLongLogsAreCutAtTheirBeginning(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	line := strings.Repeat("x", 99) + "\n"
	j := r.withFiles(map[string]string{"trial.log": "the beginning\n" + strings.Repeat(line, logTail/len(line)+10) + "the end\n"})
	logs := do[api.TrialLogs](r, "GET", "/trials/"+j.ID+"/logs", nil).Logs
	contains(t, logs, "bytes are left out here", "the end")
	if len(logs) > logTail+500 || strings.Contains(logs, "the beginning") {
		t.Errorf("%d bytes of log", len(logs))
	}
	contains(t, r.refuses(404, "GET", "/trials/"+j.ID+"/result", nil), "no result yet")
}

func TestTrajectoriesOfSteps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := r.withFiles(map[string]string{
		"result.json":                       `{"step_results": [{"step_name": "one"}, {"step_name": "two"}, {"step_name": "three"}, {"step_name": "../x"}]}`,
		"steps/one/agent/trajectory.json":   `{"of": 1}`,
		"steps/two/agent/trajectory.json":   `{"of": 2}`,
		"steps/three/agent/other-file.json": `{}`,
	})
	for query, want := range map[string]string{"": `{"of": 2}`, "?step=one": `{"of": 1}`, "?step=three": "null", "?step=none": "null"} {
		if _, text, _ := r.request("GET", "/trials/"+j.ID+"/trajectory"+query, nil); text != want {
			t.Errorf("%s gives %q, want %q", query, text, want)
		}
	}
	r.refuses(400, "GET", "/trials/"+j.ID+"/trajectory?step=..%2Fx", nil)
}

func TestAResultThatIsNoJSONIsNotServedAsSuch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := r.withFiles(map[string]string{"result.json": `{"a"`, "agent/trajectory.json": "<script>"})
	contains(t, r.refuses(409, "GET", "/trials/"+j.ID+"/result", nil), "not JSON")
	contains(t, r.refuses(409, "GET", "/trials/"+j.ID+"/trajectory", nil), "not JSON")
}

func TestLogsOfEveryStepAreTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := r.withFiles(map[string]string{"steps/one/agent/oracle.txt": "first\n", "steps/two/agent/oracle.txt": "second\n", "trial.log": "began\n"})
	got := do[structuredLogs](r, "GET", "/trials/"+j.ID+"/logs/structured", nil)
	want := []namedLog{{"steps/one/agent/oracle.txt", "first\n"}, {"steps/two/agent/oracle.txt", "second\n"}, {"trial.log", "began\n"}}
	if got.Agent.Oracle != nil || !slices.Equal(got.Other, want) {
		t.Errorf("logs are %+v", got)
	}
}
