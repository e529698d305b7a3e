package task

import (
	"fmt"
	"strings"
	"testing"
)

// complete is a task.toml of which Check has nothing to say.
const complete = "schema_version = \"1.3\"\n[agent]\ntimeout_sec = 60\n[verifier]\ntimeout_sec = 60\n[environment]\nbuild_timeout_sec = 60\n"

func TestCheckNamesThePlaceOfEachFinding(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files map[string]string
		want  []string // the beginnings of the findings
	}{
		"nothing is wrong":         {nil, nil},
		"a syntax error":           {map[string]string{"task.toml": "[agent]\ntimeout_sec = \"long\n"}, []string{"E task.toml:2:"}},
		"several values are wrong": {map[string]string{"task.toml": complete + "cpus = 0\nmemory_mb = -1\n"}, []string{"E task.toml:8:", "E task.toml:9:"}},
		"an unknown key":           {map[string]string{"task.toml": complete + "cpu = 2\n"}, []string{"W task.toml:8: environment.cpu: unknown key, ignored; did you mean cpus?"}},
		"a missing timeout":        {map[string]string{"task.toml": strings.Replace(complete, "[agent]\ntimeout_sec = 60\n", "", 1)}, []string{"W task.toml: agent.timeout_sec is not set"}},
		"what cannot be run":       {map[string]string{"task.toml": complete + "tpu = {type = \"a\", topology = \"1\"}\n"}, []string{"E task.toml: uses what this version cannot run: environment.tpu"}},
		"no instruction":           {map[string]string{"instruction.md": "absent"}, []string{"E instruction.md: is missing"}},
		"an empty instruction":     {map[string]string{"instruction.md": " \n"}, []string{"W instruction.md: is empty"}},
		"no solution":              {map[string]string{"solution/solve.sh": "absent"}, []string{"W solution/solve.sh: is missing"}},
		"a solution under another name": {
			map[string]string{"solution/solve.sh": "absent", "solution/solve.py": "pass\n"},
			[]string{"W solution/solve.sh: is missing, beside solve.py: the agent oracle"},
		},
		"a step without its script": {
			map[string]string{
				"task.toml": complete + "[[steps]]\nname = \"one\"\n[[steps]]\nname = \"two\"\n", "instruction.md": "absent", "tests/test.sh": "absent", "solution/solve.sh": "absent",
				"steps/one/instruction.md": "x", "steps/one/tests/test.sh": "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n", "steps/one/solution/solve.sh": "#!/bin/sh\n",
				"steps/two/instruction.md": "x", "steps/two/tests/test.sh": "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n", "steps/two/solution/solve2.sh": "#!/bin/sh\n",
			},
			[]string{"W steps/two/solution/solve.sh: is missing, beside solve2.sh: the agent oracle"},
		},
		"steps that share a solution which is missing": {
			map[string]string{
				"task.toml": complete + "[[steps]]\nname = \"one\"\n[[steps]]\nname = \"two\"\n", "instruction.md": "absent", "solution/solve.sh": "absent",
				"steps/one/instruction.md": "x", "steps/two/instruction.md": "x",
			},
			[]string{"W solution/solve.sh: is missing: the agent oracle"},
		},
		"no tests":                  {map[string]string{"tests/test.sh": "absent"}, []string{"E tests/test.sh: is missing"}},
		"tests without a reward":    {map[string]string{"tests/test.sh": "#!/bin/sh\ntrue\n"}, []string{"W tests/test.sh: seems to write no reward"}},
		"the reward is in a helper": {map[string]string{"tests/test.sh": "#!/bin/sh\npython3 /tests/x.py\n", "tests/x.py": "open('/logs/verifier/reward.txt', 'w')"}, nil},
		"windows line endings":      {map[string]string{"tests/test.sh": "#!/bin/bash\r\necho 1 > /logs/verifier/reward.txt\r\n"}, []string{`E tests/test.sh:1: has the line endings of Windows: its interpreter "/bin/bash\r"`}},
		"a byte order mark":         {map[string]string{"solution/solve.sh": "\ufeff#!/bin/sh\n"}, []string{"E solution/solve.sh:1: begins with a byte order mark"}},
		"an empty solution":         {map[string]string{"solution/solve.sh": ""}, []string{"E solution/solve.sh: is empty"}},
		"a pointer of Git LFS":      {map[string]string{"environment/data.bin": lfsPointer + "v1\noid sha256:" + strings.Repeat("a", 64) + "\nsize 12345\n"}, []string{"E environment/data.bin:1: is a pointer of Git LFS"}},
		"no FROM":                   {map[string]string{"environment/Dockerfile": "RUN true\n"}, []string{"E environment/Dockerfile: has no FROM"}},
		"a source that is not there": {
			map[string]string{"environment/Dockerfile": "FROM scratch\nCOPY setup.sh ../tests/x.sh /\n"},
			[]string{"E environment/Dockerfile:2: COPY setup.sh: there is no environment/setup.sh", "E environment/Dockerfile:2: COPY ../tests/x.sh: there is no environment/tests/x.sh"},
		},
		"an image whose digest was never filled in": {
			map[string]string{"environment/Dockerfile": "FROM --platform=linux/amd64 debian:12 AS base\nFROM Base\nFROM ${ANY}@x\nFROM debian:12@sha256:<digest>\n"},
			[]string{"E environment/Dockerfile:4: FROM debian:12@sha256:<digest>: is no name of an image"},
		},
		"a separate verifier's Dockerfile": {
			map[string]string{"task.toml": strings.Replace(complete, "[verifier]", "[verifier]\nenvironment_mode = \"separate\"", 1), "tests/Dockerfile": "FROM debian:12\nCOPY test.sh grade.py /tests/\n"},
			[]string{"E tests/Dockerfile:2: COPY grade.py: there is no tests/grade.py; only what is in tests/ can be copied"},
		},
		"a Dockerfile among the tests that nothing builds": {map[string]string{"tests/Dockerfile": "FROM debian:12\nCOPY grade.py /tests/\n"}, nil},
		"a step's empty instruction": {
			map[string]string{"task.toml": complete + "[[steps]]\nname = \"one\"\n", "instruction.md": "absent", "steps/one/instruction.md": "\n"},
			[]string{"W steps/one/instruction.md: is empty"},
		},
		"sources that are there or elsewhere": {
			map[string]string{
				"environment/a.txt": "x",
				"environment/Dockerfile": "FROM scratch AS one\nCOPY a.txt ./a.txt . /x/\nCOPY --from=one /bin/sh /bin/\nCOPY *.txt $SRC /x/\nADD https://example.org/x /x\n" +
					"COPY --chown=me:me a.txt /\nCOPY [\"no no\", \"/x\"]\nRUN cat <<EOF > /x\nCOPY missing /\nEOF\nRUN true \\\n  COPY missing /\n",
			},
			nil,
		},
		"a compose file": {map[string]string{"environment/docker-compose.yaml": "services:\n  db: {image: \"${FREE}${CPUS}${HELD:-x}\"}\n"}, nil},
		"a compose file that is no YAML": {
			map[string]string{"environment/docker-compose.yaml": "services:\n  db: {image: x\n"}, []string{"E environment/docker-compose.yaml:"},
		},
		"a variable that the compose file is not given": {
			map[string]string{"environment/docker-compose.yaml": "services:\n  db: {image: \"$HELD\"}\n"},
			[]string{"W environment/docker-compose.yaml:2: reads the variable HELD of the worker, which is not set"},
		},
		"a compose file of a verifier that is no YAML": {
			map[string]string{"task.toml": complete + "[verifier.environment]\n", "tests/docker-compose.yaml": "services:\n  db: {image: x\n"}, []string{"E tests/docker-compose.yaml:"},
		},
		"a variable that the compose file of a verifier is not given": {
			map[string]string{"task.toml": complete + "[verifier.environment]\n", "tests/docker-compose.yaml": "services:\n  db: {image: \"$HELD\"}\n"},
			[]string{"W tests/docker-compose.yaml:2: reads the variable HELD of the worker, which is not set"},
		},
		"a variable that the plugin sets": {map[string]string{"environment/docker-compose.yaml": "services:\n  db: {image: x, hostname: \"db-${COMPOSE_PROJECT_NAME}\"}\n"}, nil},
		"a service that the compose file does not have": {
			map[string]string{"task.toml": "artifacts = [{source = \"/x\", service = \"bd\"}]\n" + complete, "environment/docker-compose.yaml": "services:\n  db: {image: x}\n"},
			[]string{"E task.toml: names the service bd, which environment/docker-compose.yaml does not have: db"},
		},
		"a variable that is not given": {
			map[string]string{"task.toml": complete + "[verifier.env]\nKEY = \"${HELD}\"\nOTHER = \"${FREE}\"\nDEFAULT = \"${HELD2:-x}\"\n"},
			[]string{"W task.toml: reads the variable HELD of the worker, which is not set"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"task.toml": complete, "tests/test.sh": "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n", "solution/solve.sh": "#!/bin/sh\n"}
			for name, text := range tt.files {
				files[name] = text
			}
			got := Check(makeTask(t, files), CheckOptions{Readable: func(name string) string {
				if strings.HasPrefix(name, "HELD") || name == "COMPOSE_PROJECT_NAME" {
					return "which is not set"
				}
				return ""
			}})
			if len(got.Findings) != len(tt.want) {
				t.Fatalf("got %s, want %q", findingTexts(got.Findings), tt.want)
			}
			for i, f := range got.Findings {
				if text := findingText(f); !strings.HasPrefix(text, tt.want[i]) {
					t.Errorf("got %s, want %s", text, tt.want[i])
				}
			}
		})
	}
}

func TestCheckReportsSizeAndDigest(t *testing.T) {
	t.Parallel()
	dir := makeTask(t, map[string]string{"task.toml": complete, "environment/big": strings.Repeat("x", 3<<20)})
	got := Check(dir, CheckOptions{MaxBytes: 2 << 20})
	if want, err := Digest(dir); err != nil || got.Digest != want {
		t.Errorf("digest %q, want %q (%v)", got.Digest, want, err)
	}
	if got.Bytes < 3<<20 || got.Name != "my-task" {
		t.Errorf("got %d bytes of %s", got.Bytes, got.Name)
	}
	if text := findingTexts(got.Findings); !strings.Contains(text, "has 3 MiB of files; packed it must not exceed 2 MiB") {
		t.Errorf("got %s", text)
	}
}

func findingText(f Finding) string {
	kind := map[bool]string{true: "E", false: "W"}[f.Fault]
	switch {
	case f.Line == 0:
		return fmt.Sprintf("%s %s: %s", kind, f.File, f.Msg)
	case f.Column == 0:
		return fmt.Sprintf("%s %s:%d: %s", kind, f.File, f.Line, f.Msg)
	}
	return fmt.Sprintf("%s %s:%d:%d: %s", kind, f.File, f.Line, f.Column, f.Msg)
}

func findingTexts(all []Finding) string {
	var out []string
	for _, f := range all {
		out = append(out, findingText(f))
	}
	return strings.Join(out, "\n")
}
