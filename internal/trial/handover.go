package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
)

// handOver makes what was collected from the agent's sandbox again in the verifier's, each at the place where it was. Folders that are there
// already are emptied first.
func (r *run) handOver(ctx context.Context) error {
	data, err := os.ReadFile(filepath.Join(r.step.artifactsDir(), result.ManifestFile))
	if err != nil {
		return result.Errorf(result.OSError, "read what was collected: %w", err)
	}
	var list []manifestEntry
	if err := json.Unmarshal(data, &list); err != nil {
		return result.Errorf(result.OSError, "read what was collected: %w", err)
	}
	for _, e := range list {
		if e.Status != statusOK && e.Status != statusEmpty {
			continue
		}
		if err := r.handOverOne(ctx, e); err != nil {
			return fmt.Errorf("bring the artifact %s to the verifier: %w", e.Source, err)
		}
	}
	return nil
}

func (r *run) handOverOne(ctx context.Context, e manifestEntry) error {
	target := e.Source
	if !path.IsAbs(target) {
		target = path.Join(r.agentWorkdir(), target)
	}
	target = path.Clean(target)
	from := filepath.Join(r.step.dir, filepath.FromSlash(e.Destination))
	box := r.step.box
	if e.Type == typeFile {
		return uploadFile(ctx, box, from, target)
	}
	quoted := sandbox.Quote(target)
	clear := "mkdir -p " + quoted + " && cd " + quoted + ` && for f in * .[!.]* ..?*; do if [ -e "$f" ] || [ -L "$f" ]; then rm -rf -- "$f" || exit 1; fi; done`
	if target == agent.ArtifactsDir {
		clear += " && chmod 0777 ."
	}
	if err := r.asRoot(ctx, box, "hand-over", clear); err != nil {
		return err
	}
	return agent.UploadDir(ctx, box, from, target, tarball.PackOptions{Links: e.Links})
}

// agentWorkdir is where relative artifacts were found: asked for by this process, or by the one that collected them.
func (r *run) agentWorkdir() string {
	if r.cwd != "" {
		return r.cwd
	}
	if dir := r.former.ended[r.step.phase(phaseCollect)].Dir; dir != "" {
		return dir
	}
	return r.plan.spec.Workdir
}

// uploadFile puts a file of this machine into a sandbox, also under another name.
func uploadFile(ctx context.Context, box sandbox.Sandbox, from, target string) error {
	pr, pw := io.Pipe()
	defer pr.Close()
	go func() { pw.CloseWithError(tarball.PackFile(pw, from, path.Base(target))) }()
	return box.Upload(ctx, path.Dir(target), pr)
}
