package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"oddish/internal/cli"
	"oddish/internal/sandbox/builtin"
	"oddish/internal/sandbox/docker"
)

// The test binary is the program itself when it is called oddish, and a child of the builtin sandbox when that calls it.
func TestMain(m *testing.M) {
	if builtin.Dispatch() || docker.Dispatch() {
		os.Exit(0)
	}
	testscript.Main(m, map[string]func(){"oddish": func() { os.Exit(cli.Main()) }})
}

// Each script of testdata/script is what a user types and sees. It has a data directory, a port and a home of its
// own, and trials run in the fake sandbox unless the script says otherwise.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Condition:           scriptCondition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    cmdExits,
			"mktask":   cmdMktask,
			"onejson":  cmdOneJSON,
			"jsonenv":  cmdJSONEnv,
			"occupy":   cmdOccupy,
			"crash":    cmdCrash,
			"waitfor":  cmdWaitFor,
			"nofile":   cmdNoFile,
			"examples": cmdExamples,
			"newerdb":  cmdNewerDB,
			"mkimage":  cmdMkImage,
		},
	})
}

func setupScript(e *testscript.Env) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	data := filepath.Join(e.WorkDir, "data")
	e.Setenv("ODDISH_DATA_DIR", data)
	e.Setenv("ODDISH_API_URL", "http://localhost:"+strconv.Itoa(port))
	e.Setenv("PORT", strconv.Itoa(port))
	e.Setenv("ODDISH_DEFAULT_ENVIRONMENT", "fake")
	e.Setenv("ODDISH_DRAIN_TIMEOUT", "0s")
	e.Setenv("DOCKER_HOST", "unix://"+filepath.Join(e.WorkDir, "no-docker.sock"))
	e.Setenv("HOME", e.WorkDir)
	e.Defer(func() { killServer(data, syscall.SIGKILL) })
	return nil
}

// killServer ends what server.json names, and reports whether there was something to end.
func killServer(data string, signal syscall.Signal) bool {
	text, err := os.ReadFile(filepath.Join(data, "server.json"))
	var s struct{ PID int }
	if err != nil || json.Unmarshal(text, &s) != nil || s.PID <= 1 {
		return false
	}
	return syscall.Kill(s.PID, signal) == nil
}

// freePort gives a port that stays free between two servers of a script: systems give those above 32768 to whoever connects to something.
func freePort() (int, error) {
	for range 100 {
		port := 30_000 + rand.IntN(2_700)
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port is free")
}

func scriptCondition(cond string) (bool, error) {
	switch cond {
	case "root":
		return os.Geteuid() == 0, nil
	case "builtin":
		return builtinWorks(), nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// cmdExits runs a command and wants the exit status: `exits 2 oddish run`.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdMktask makes valid tasks: `mktask tasks/hello [instruction]`.
func cmdMktask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: mktask DIR [INSTRUCTION]")
	}
	files := map[string]string{
		"task.toml": "schema_version = \"1.3\"\n[agent]\ntimeout_sec = 60\n[verifier]\ntimeout_sec = 60\n" +
			"[environment]\nbuild_timeout_sec = 60\n[environment.oddish]\nimage = \"host\"\n",
		"instruction.md":         "Say hello.\n" + strings.Join(args[1:], ""),
		"environment/Dockerfile": "FROM debian:bookworm-slim\n",
		"tests/test.sh":          "echo 1 > /logs/verifier/reward.txt\n",
		"solution/solve.sh":      "echo hello\n",
	}
	for name, text := range files {
		path := ts.MkAbs(filepath.Join(args[0], name))
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
		ts.Check(os.WriteFile(path, []byte(text), 0o644))
	}
}

// cmdOneJSON wants standard output to be one JSON document, and optionally the value at a path of it:
// `onejson trials.0.reward 1`.
func cmdOneJSON(ts *testscript.TestScript, neg bool, args []string) {
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var doc any
	ts.Check(dec.Decode(&doc))
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("there is more than one JSON document on standard output")
	}
	if len(args) == 0 {
		return
	}
	if len(args) != 2 {
		ts.Fatalf("usage: onejson [PATH VALUE]")
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	ts.Check(enc.Encode(jsonAt(ts, doc, args[0])))
	if got := strings.Trim(strings.TrimSpace(b.String()), `"`); (got == args[1]) == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}

// cmdJSONEnv keeps a value of the JSON on standard output in a variable: `jsonenv ID tasks.0.id`.
func cmdJSONEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: jsonenv NAME PATH")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &doc))
	ts.Setenv(args[0], fmt.Sprint(jsonAt(ts, doc, args[1])))
}

func jsonAt(ts *testscript.TestScript, doc any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch v := doc.(type) {
		case map[string]any:
			value, ok := v[key]
			if !ok {
				ts.Fatalf("%s: there is no %s", path, key)
			}
			doc = value
		case []any:
			if key == "length" {
				doc = len(v)
				continue
			}
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) {
				ts.Fatalf("%s: there is no element %s", path, key)
			}
			doc = v[i]
		default:
			ts.Fatalf("%s: nothing is below %s", path, key)
		}
	}
	return doc
}

// cmdOccupy listens on $PORT until the script ends and answers nothing sensible.
func cmdOccupy(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv("PORT"))
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail.example.org ready\r\n"))
			_ = c.Close()
		}
	}()
}

// cmdCrash kills the server as a crash would.
func cmdCrash(ts *testscript.TestScript, _ bool, _ []string) {
	if !killServer(ts.Getenv("ODDISH_DATA_DIR"), syscall.SIGKILL) {
		ts.Fatalf("no server is running")
	}
	// It may take a moment to die on a busy machine, and has its port until then.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		l, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv("PORT"))
		if err == nil {
			ts.Check(l.Close())
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the killed server does not end: %v", err)
		}
	}
}

// cmdWaitFor repeats a command until its standard output holds a text: `waitfor TEXT COMMAND [ARG...]`.
func cmdWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q did not come: %v", args[0], err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cmdNoFile wants that a file or folder does not exist.
func cmdNoFile(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		if _, err := os.Lstat(ts.MkAbs(name)); err == nil {
			ts.Fatalf("%s exists", name)
		}
	}
}

// cmdExamples sets $EXAMPLES to the example tasks of the repository.
func cmdExamples(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("EXAMPLES", filepath.Join(repository, "examples", "tasks"))
}

// cmdMkImage makes an archive as `docker save` does: `mkimage FILE NAME`.
func cmdMkImage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mkimage FILE NAME")
	}
	layer, err := random.Layer(1<<20, types.DockerLayer)
	ts.Check(err)
	img, err := mutate.AppendLayers(empty.Image, layer)
	ts.Check(err)
	tag, err := name.NewTag(args[1])
	ts.Check(err)
	ts.Check(tarball.WriteToFile(ts.MkAbs(args[0]), tag, img))
}
