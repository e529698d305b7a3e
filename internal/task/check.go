package task

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Finding is something that Check has to say about a task.
type Finding struct {
	// Fault is true for what a run of the task would break at, false for what its author should look at.
	Fault        bool
	File         string // relative to the task's folder, with slashes
	Line, Column int    // 1-based; 0: the whole file is meant
	Msg          string
}

// Report is what Check found out about one task.
type Report struct {
	Dir      string
	Name     string // as Task.Name; the folder's name where task.toml cannot be read
	Digest   string // as Digest gives it; empty where the files cannot be read
	Bytes    int64  // of all its files
	Findings []Finding
}

// Faults counts the findings with which a run would break.
func (r *Report) Faults() int {
	n := 0
	for _, f := range r.Findings {
		if f.Fault {
			n++
		}
	}
	return n
}

// CheckOptions say against what a task is checked.
type CheckOptions struct {
	// MaxBytes is the largest task that a server takes; 0: any.
	MaxBytes int64
	// Readable says why a variable of the host would not be given to the task's templates; empty: it would be. Nil: they are not checked.
	Readable func(name string) (why string)
}

// Check looks at the task in dir without running anything: what Load says, what a trial would refuse, and what is known to go wrong in the files that are run. The
// findings are in the order of their files and lines.
func Check(dir string, o CheckOptions) Report {
	c := &checker{report: Report{Dir: dir, Name: filepath.Base(dir)}}
	t, err := Load(dir)
	for _, e := range flatten(err) {
		c.loadError(e)
	}
	if t != nil {
		c.report.Name = t.Name
		c.loaded(t, o)
	}
	c.files(dir, o.MaxBytes)
	c.dockerfile(dir, EnvironmentDir)
	c.scripts(dir)
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return c.report
}

type checker struct{ report Report }

func (c *checker) fault(file string, line int, format string, args ...any) {
	c.report.Findings = append(c.report.Findings, Finding{Fault: true, File: file, Line: line, Msg: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(file string, line int, format string, args ...any) {
	c.report.Findings = append(c.report.Findings, Finding{File: file, Line: line, Msg: fmt.Sprintf(format, args...)})
}

// flatten gives the errors that errors.Join has joined, at any depth.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

func (c *checker) loadError(err error) {
	f := Finding{Fault: true, File: ConfigFile, Msg: err.Error()}
	if e := (*Error)(nil); errors.As(err, &e) {
		f.File, f.Line, f.Column, f.Msg = filepath.ToSlash(e.File), e.Line, e.Column, e.Msg
	}
	c.report.Findings = append(c.report.Findings, f)
}

// loaded looks at a task that can be loaded.
func (c *checker) loaded(t *Task, o CheckOptions) {
	for _, w := range t.Warnings {
		c.warn(ConfigFile, w.Line, "%s: %s", w.Key, w.Msg)
	}
	for _, what := range t.Unsupported() {
		c.fault(ConfigFile, 0, "uses what this version cannot run: %s", what)
	}
	c.compose(t, o)
	for _, key := range t.MissingTimeouts() {
		c.warn(ConfigFile, 0, "%s is not set", key)
	}
	for _, p := range t.Parts() {
		if strings.TrimSpace(p.Instruction) != "" {
			continue
		}
		file := InstructionFile
		if p.Name != "" {
			file = path.Join(StepsDir, p.Name, file)
		}
		c.warn(file, 0, "is empty: the agent is told nothing")
	}
	c.solutions(t)
	c.verifiers(t)
	if o.Readable == nil {
		return
	}
	for _, name := range t.HostVars(true, func(string) bool { return false }) {
		if why := o.Readable(name); why != "" {
			c.warn(ConfigFile, 0, "reads the variable %s of the worker, %s", name, why)
		}
	}
}

// verifiers looks at the Dockerfiles of separate verifiers.
func (c *checker) verifiers(t *Task) {
	var contexts []string
	for _, p := range t.Parts() {
		if e := p.Verifier.Environment; e != nil && e.DockerImage == "" && !slices.Contains(contexts, p.VerifierContext) {
			contexts = append(contexts, p.VerifierContext)
		}
	}
	for _, context := range contexts {
		if rel, err := filepath.Rel(t.Dir, context); err == nil {
			c.dockerfile(t.Dir, filepath.ToSlash(rel))
		}
	}
}

// solutions looks for what the agent oracle runs, of the task or of each step.
func (c *checker) solutions(t *Task) {
	said := map[string]bool{} // steps without a folder share the task's
	for _, p := range t.Parts() {
		script := filepath.Join(p.Solution, t.SolutionScript())
		if said[script] || isFile(script) {
			continue
		}
		said[script] = true
		rel, _ := filepath.Rel(t.Dir, script)
		c.warn(filepath.ToSlash(rel), 0, "is missing%s: the agent oracle has nothing to run, so that nobody can show that the task is solvable", beside(p.Solution))
	}
}

// beside names the files that an author may have meant for the script that a folder does not have.
func beside(dir string) string {
	entries, _ := os.ReadDir(dir) // none: there is no such folder
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && slices.Contains([]string{".sh", ".py", ".bat"}, filepath.Ext(e.Name())) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", beside " + strings.Join(names, ", ")
}

// lfsPointer begins the file that git leaves where the one that it stands for was not fetched.
const lfsPointer = "version https://git-lfs.github.com/spec/"

// files looks at every file of the task.
func (c *checker) files(dir string, most int64) {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		c.report.Bytes += info.Size()
		if size := info.Size(); size > 100 && size < 400 && startsWith(path, lfsPointer) {
			rel, _ := filepath.Rel(dir, path)
			c.fault(filepath.ToSlash(rel), 1, "is a pointer of Git LFS and not the file itself: fetch it with `git lfs pull`")
		}
		return nil
	})
	if err == nil {
		c.report.Digest, err = Digest(dir)
	}
	if err != nil {
		c.fault(".", 0, "cannot be read: %v", err)
	}
	if most > 0 && c.report.Bytes > most {
		c.warn(".", 0, "has %d MiB of files; packed it must not exceed %d MiB to be uploaded (ODDISH_MAX_TASK_UPLOAD_MB of the server)", c.report.Bytes>>20, most>>20)
	}
}

func startsWith(path, prefix string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(prefix))
	n, _ := f.Read(head)
	return string(head[:n]) == prefix
}
