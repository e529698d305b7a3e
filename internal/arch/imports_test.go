// Package arch holds the test that keeps imports pointing one way. It has no code.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed lists, for each package of ours, the packages of ours it may import.
// Every package must have a line, so that a new one gets its place on purpose.
// Sub-packages of a provider or test suite are named in full.
var allowed = map[string][]string{
	"api":    {},
	"client": {"api"},

	"internal/tarball":   {},
	"internal/config":    {"api"},
	"internal/model":     {},
	"internal/predicate": {"internal/nearest"},
	"internal/atif":      {},
	"internal/nearest":   {},
	"internal/task":      {"internal/composefile", "internal/tarball", "internal/nearest"},
	"internal/dataset":   {"internal/nearest"},
	"internal/result":    {"api"},

	"internal/flight":     {},
	"internal/image":      {"internal/flight"},
	"internal/dockerfile": {},
	"internal/imagebuild": {"internal/dockerfile", "internal/image", "internal/sandbox"},

	"internal/sandbox":                     {},
	"internal/sandbox/sandboxtest":         {"internal/image", "internal/sandbox", "internal/tarball"},
	"internal/sandbox/sandboxtest/machine": {},
	"internal/sandbox/builtin": {"internal/image", "internal/imagebuild", "internal/sandbox", "internal/tarball",
		"internal/sandbox/netpeer", "internal/sandbox/builtin/rootfs"},
	"internal/sandbox/netpeer":        {"internal/sandbox"},
	"internal/sandbox/builtin/rootfs": {"internal/image", "internal/sandbox"},
	"internal/composefile":            {},
	"internal/sandbox/compose":        {"internal/composefile", "internal/sandbox"},
	"internal/sandbox/docker":         {"internal/dockerfile", "internal/flight", "internal/sandbox", "internal/sandbox/compose", "internal/sandbox/docker/link", "internal/tarball"},
	"internal/sandbox/docker/link":    {"internal/sandbox", "internal/sandbox/netpeer"},
	"internal/sandbox/fake":           {"internal/sandbox"},
	"internal/sandbox/hostile":        {"internal/sandbox", "internal/tarball"},

	"internal/llm":            {},
	"internal/llm/sse":        {},
	"internal/llm/usage":      {"internal/llm"},
	"internal/llm/price":      {"internal/llm/usage", "internal/model"},
	"internal/llm/fakellm":    {"internal/llm"},
	"internal/llm/transcript": {"internal/llm", "internal/llm/usage", "internal/atif"},
	"internal/llm/gateway":    {"internal/llm", "internal/llm/sse", "internal/llm/transcript", "internal/llm/usage", "internal/llm/price"},
	"internal/llm/upstream":   {"internal/llm", "internal/llm/gateway", "internal/model"},

	"internal/agent/terminus": {"internal/atif", "internal/llm", "internal/llm/usage", "internal/result", "internal/sandbox"},
	"internal/agent":          {"api", "internal/agent/terminus", "internal/llm", "internal/llm/usage", "internal/atif", "internal/sandbox", "internal/model", "internal/nearest", "internal/result", "internal/tarball"},
	"internal/agent/agenttest": {"internal/agent", "internal/atif", "internal/llm", "internal/llm/fakellm", "internal/result",
		"internal/sandbox", "internal/tarball"},
	"internal/trial": {"api", "internal/agent", "internal/atif", "internal/composefile", "internal/model", "internal/sandbox", "internal/task", "internal/result", "internal/tarball"},
	"internal/worker": {"api", "client", "internal/agent", "internal/llm", "internal/llm/gateway", "internal/llm/price", "internal/llm/transcript", "internal/llm/upstream", "internal/llm/usage",
		"internal/trial", "internal/sandbox", "internal/tarball", "internal/task", "internal/result", "internal/redact"},

	"internal/store":           {"api", "internal/predicate"},
	"internal/store/storetest": {"api", "internal/store"},
	"internal/queue":           {"api", "internal/store", "internal/model", "internal/predicate"},
	"internal/blob":            {},
	"internal/blob/blobtest":   {"internal/blob"},
	"internal/backup":          {"internal/store", "internal/blob", "internal/tarball"},
	"internal/web":             {"api"},
	"internal/server": {"api", "internal/queue", "internal/store", "internal/blob", "internal/web", "internal/model", "internal/predicate", "internal/llm/price",
		"internal/agent", "internal/task", "internal/tarball", "internal/result"},

	"internal/redact": {},
	"internal/jobdir": {"api", "client", "internal/model", "internal/result", "internal/tarball"},
	"internal/cli": {"internal/composefile", "internal/jobdir", "internal/result", "api", "client", "internal/atif", "internal/config", "internal/llm", "internal/llm/fakellm", "internal/llm/price", "internal/dataset", "internal/image", "internal/imagebuild", "internal/task", "internal/agent", "internal/model", "internal/server", "internal/worker",
		"internal/tarball", "internal/store", "internal/queue", "internal/blob", "internal/backup", "internal/sandbox", "internal/sandbox/builtin", "internal/sandbox/docker", "internal/sandbox/fake", "internal/sandbox/hostile"},
	"internal/arch": {},
	"test/e2e":      {"api"},
	"test/chaos":    {"api"},
	"test/scale":    {"api", "client", "internal/store", "internal/store/storetest"},
	"cmd/oddish":    {"internal/cli", "internal/sandbox/builtin", "internal/sandbox/docker"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "oddish/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		checkImports(t, p)
	}
}

func checkImports(t *testing.T, p listed) {
	t.Helper()
	name := strings.TrimPrefix(p.ImportPath, "oddish/")
	may, known := allowed[name]
	if !known {
		t.Errorf("package %s has no line in the table of allowed imports: give it its place", name)
		return
	}
	for _, imp := range p.Imports {
		ours, is := strings.CutPrefix(imp, "oddish/")
		if is && !slices.Contains(may, ours) {
			t.Errorf("%s imports %s, which the architecture does not allow", name, ours)
		}
	}
}
