package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
	"oddish/internal/task"
)

// artifact is something to fetch after the agent's run.
type artifact struct {
	source  string   // as declared
	target  string   // slash path below artifacts/
	exclude []string // tar exclude patterns
	service string   // of a compose task; empty: the main one
}

// What Type and Status of a manifestEntry may be.
const (
	typeFile      = "file"
	typeDirectory = "directory"
	statusOK      = "ok"
	statusEmpty   = "empty"
	statusFailed  = "failed"
	statusSkipped = "skipped"
)

// manifestEntry is one element of artifacts/manifest.json.
type manifestEntry struct {
	Source      string  `json:"source"`
	Destination string  `json:"destination"`
	Type        string  `json:"type"`   // file or directory
	Status      string  `json:"status"` // ok, failed, empty or skipped
	Service     *string `json:"service"`

	// What a store of files does not keep, and a verifier that is handed the artifact needs; names are relative to the destination.
	Links      []tarball.Link `json:"links,omitempty"`      // symbolic links that stay inside of the artifact
	Executable []string       `json:"executable,omitempty"` // files with the execute bit; "." is the artifact itself
}

// newArtifacts gives what is to be fetched: /logs/artifacts first, unless it is declared, then the
// task's declarations, then the run's, then the step's. Only a task that is composed has services.
func newArtifacts(t *task.Task, composed bool, extra []api.Artifact, ofStep []task.Artifact) ([]artifact, error) {
	var list []artifact
	declared := false
	add := func(source, destination, service string, exclude []string) error {
		if service == task.ServiceMain {
			service = ""
		}
		if service != "" && !composed {
			return result.Errorf(result.UnsupportedTaskError, "artifact %s is of the service %s: without environment/%s the task has only %s", source, service, task.ComposeFile, task.ServiceMain)
		}
		if service != "" && !path.IsAbs(source) {
			return result.Errorf(result.ValueError, "artifact %s of the service %s: a whole path is needed", source, service)
		}
		target := destination
		if target == "" {
			target = source
		}
		target = strings.TrimPrefix(path.Clean("/"+target), "/")
		if target == "" || target == result.ManifestFile || hasDotDot(source) || hasDotDot(destination) {
			return result.Errorf(result.ValueError, "artifact %q with destination %q: a path without .. is needed, and not %s", source, destination, result.ManifestFile)
		}
		declared = declared || service == "" && path.Clean(source) == agent.ArtifactsDir
		list = append(list, artifact{source, target, exclude, service})
		return nil
	}
	for _, a := range t.Config.Artifacts {
		if err := add(a.Source, a.Destination, a.Service, a.Exclude); err != nil {
			return nil, err
		}
	}
	for _, a := range extra {
		if err := add(a.Source, a.Destination, a.Service, a.Exclude); err != nil {
			return nil, err
		}
	}
	for _, a := range ofStep {
		if err := add(a.Source, a.Destination, a.Service, a.Exclude); err != nil {
			return nil, err
		}
	}
	if !declared {
		conventional := artifact{source: agent.ArtifactsDir, target: strings.TrimPrefix(agent.ArtifactsDir, "/")}
		list = append([]artifact{conventional}, list...)
	}
	return list, nil
}

func hasDotDot(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// collectArtifacts fetches the artifacts as far as they are there and writes the manifest.
func (r *run) collectArtifacts(ctx context.Context) error {
	manifest := []manifestEntry{}
	left := maxFetchBytes
	var claimed []string
	var fatal error
	for _, a := range r.step.artifacts {
		e := manifestEntry{Source: a.source, Destination: path.Join(result.ArtifactsDir, a.target), Type: guessType(a.source), Status: statusSkipped}
		if a.service != "" {
			e.Service = &a.service
		}
		if by := overlapping(claimed, a.target); by != "" {
			r.log.Warn("artifact skipped: its place is taken by an earlier one", "source", a.source, "place", by)
		} else if fatal == nil {
			claimed = append(claimed, a.target)
			left, fatal = r.collectOne(ctx, a, &e, left)
		} else {
			e.Status = statusFailed
		}
		manifest = append(manifest, e)
	}
	if err := result.WriteJSON(filepath.Join(r.step.artifactsDir(), result.ManifestFile), manifest); err != nil {
		return result.Errorf(result.OSError, "%w", err)
	}
	return fatal
}

// collectOne fetches one artifact of at most left bytes, says how that went in e and gives the bytes
// that are left. Its error ends the collection.
func (r *run) collectOne(ctx context.Context, a artifact, e *manifestEntry, left int64) (int64, error) {
	e.Status = statusFailed
	var source string
	var isDir bool
	box, err := r.service(ctx, a.service)
	if err == nil {
		source, isDir, err = r.locate(ctx, box, a)
	}
	if err == nil {
		dst := filepath.Join(r.step.artifactsDir(), filepath.FromSlash(a.target))
		e.Type = typeFile
		if isDir {
			e.Type = typeDirectory
		}
		var report tarball.Report
		if isDir {
			report, err = r.fetchFolder(ctx, box, source, dst, left, excluder(a.exclude))
		} else {
			report, err = r.fetchFile(ctx, box, source, dst, left)
		}
		left = max(left-report.Bytes, 1)
		if err == nil {
			err = e.describe(dst, report)
		}
	}
	if err != nil {
		r.log.Warn("artifact could not be fetched", "source", a.source, "error", err)
		if hopeless(ctx, err) {
			return left, err
		}
	}
	return left, nil
}

// locate gives the absolute path of an artifact and whether it is a folder.
func (r *run) locate(ctx context.Context, box sandbox.Sandbox, a artifact) (string, bool, error) {
	source := a.source
	if a.service == "" && path.Clean(source) == agent.ArtifactsDir {
		return agent.ArtifactsDir, true, nil // there in every sandbox: not worth a question
	}
	if !path.IsAbs(source) {
		dir, err := r.workdir(ctx)
		if err != nil {
			return "", false, err
		}
		source = path.Join(dir, source)
	}
	source = path.Clean(source)
	code, err := box.Exec(ctx, sandbox.Command{
		Label: "is-dir", Script: `[ -d "$ODDISH_PATH" ]`, Env: map[string]string{"ODDISH_PATH": source}, Dir: "/", User: "0",
	})
	return source, code == 0, err
}

func (r *run) fetchFolder(ctx context.Context, box sandbox.Sandbox, source, dst string, left int64, skip func(string) bool) (tarball.Report, error) {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return tarball.Report{}, err
	}
	return r.fetchWith(ctx, box, source, dst, tarball.UnpackOptions{Skip: skip, LinksOf: source, Limits: tarball.Limits{Bytes: left}})
}

// fetchFile fetches a file, which comes under its base name, to dst.
func (r *run) fetchFile(ctx context.Context, box sandbox.Sandbox, source, dst string, left int64) (tarball.Report, error) {
	temp, err := os.MkdirTemp(r.Dir, ".artifact-*")
	if err != nil {
		return tarball.Report{}, err
	}
	defer os.RemoveAll(temp)
	report, err := r.fetch(ctx, box, source, temp, left)
	if err != nil {
		return report, err
	}
	got := filepath.Join(temp, path.Base(source))
	if _, err := os.Lstat(got); err != nil {
		return report, errors.New("it is not a regular file")
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return report, err
	}
	if err := os.Rename(got, dst); err != nil {
		return report, fmt.Errorf("place artifact: %w", err)
	}
	return report, nil
}

// describe says what was fetched to dst.
func (e *manifestEntry) describe(dst string, report tarball.Report) error {
	e.Status = statusOK
	if e.Type == typeDirectory && report.Files+len(report.Links) == 0 {
		e.Status = statusEmpty
	}
	e.Links = report.Links
	return filepath.WalkDir(dst, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Mode()&0o111 == 0 {
			return err
		}
		rel, err := filepath.Rel(dst, name)
		e.Executable = append(e.Executable, filepath.ToSlash(rel))
		return err
	})
}

// guessType says what an artifact that is not there would have been.
func guessType(source string) string {
	if path.Ext(source) != "" {
		return typeFile
	}
	return typeDirectory
}

// overlapping gives the earlier place that equals the new one, contains it or lies in it; "" if none does.
func overlapping(claimed []string, target string) string {
	for _, c := range claimed {
		if c == target || strings.HasPrefix(c, target+"/") || strings.HasPrefix(target, c+"/") {
			return c
		}
	}
	return ""
}
