package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// repo is a clone of a git repository that has only what was asked of it: of the history the commits asked for, and of their files those that
// were checked out. Its folder is used by one process at a time.
type repo struct {
	url, dir string
	log      *slog.Logger
}

// maxWords bounds what is told of git's last words, in bytes.
const maxWords = 1000

// errNoGit is returned where the program git is missing.
var errNoGit = errors.New("git is not installed on this machine, and the tasks are in a git repository: install it, or check the repository out and give its folder as the path")

// git runs the program without anything that would ask the user, run code of the repository or follow it elsewhere.
func (r *repo) git(ctx context.Context, args ...string) (string, error) {
	all := append([]string{
		"-C", r.dir, "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never", "-c", "gc.auto=0",
		"-c", "submodule.recurse=false", "-c", "advice.detachedHead=false", "-c", "core.autocrlf=false",
	}, args...)
	cmd := exec.CommandContext(ctx, "git", all...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_LFS_SKIP_SMUDGE=1", "GIT_ALLOW_PROTOCOL=https:http:ssh:git:file", "LC_ALL=C")
	if os.Getenv("GIT_SSH_COMMAND") == "" {
		cmd.Env = append(cmd.Env, "GIT_SSH_COMMAND=ssh -o BatchMode=yes")
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	r.log.Debug("git", "args", args, "repository", r.url)
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return "", errNoGit
	case err != nil:
		words := strings.TrimSpace(said.String())
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, words[max(0, len(words)-maxWords):])
	}
	return out.String(), nil
}

// open makes the clone if it is not there, empty.
func (r *repo) open(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(r.dir, ".git")); err == nil {
		return nil
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if _, err := r.git(ctx, "init", "--quiet"); err != nil {
		return err
	}
	_, err := r.git(ctx, "remote", "add", "origin", r.url)
	return err
}

// resolve gives the full commit of a branch, tag or commit; of the default branch, if ref is empty.
func (r *repo) resolve(ctx context.Context, ref string) (string, error) {
	if fullCommit.MatchString(ref) {
		return ref, nil
	}
	asked := ref
	if asked == "" {
		asked = "HEAD"
	}
	out, err := r.git(ctx, "ls-remote", "origin", asked, asked+"^{}")
	if err != nil {
		return "", err
	}
	commits := map[string]string{}
	for line := range strings.Lines(out) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			commits[name] = commit
		}
	}
	for _, name := range []string{"refs/tags/" + asked + "^{}", "refs/tags/" + asked, "refs/heads/" + asked, asked} {
		if c := commits[name]; c != "" {
			return c, nil
		}
	}
	return "", fmt.Errorf("has no branch or tag %q; a commit must be given in full, with its 40 digits", asked)
}

// fetch brings a commit and its list of files, without their content where the server can leave it out.
func (r *repo) fetch(ctx context.Context, commit string) error {
	if _, err := r.git(ctx, "cat-file", "-e", commit+"^{commit}"); err == nil {
		return nil
	}
	_, err := r.git(ctx, "fetch", "--quiet", "--depth", "1", "--filter=blob:none", "--no-tags", "origin", commit)
	if err == nil || ctx.Err() != nil {
		return err
	}
	// Some servers give no commit by its id: take all branches and tags, and look whether one has it.
	r.log.Debug("commit cannot be fetched by its id, fetching all", "repository", r.url, "error", err)
	if _, err := r.git(ctx, "fetch", "--quiet", "--filter=blob:none", "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"); err != nil {
		return err
	}
	if _, err := r.git(ctx, "cat-file", "-e", commit+"^{commit}"); err != nil {
		return fmt.Errorf("has no commit %s", commit)
	}
	return nil
}

// tasks lists the folders below dir that look like tasks, sorted.
func (r *repo) tasks(ctx context.Context, commit, dir string) ([]string, error) {
	out, err := r.git(ctx, "ls-tree", "-r", "-z", "--name-only", commit)
	if err != nil {
		return nil, err
	}
	var configs []string
	environments := map[string]bool{}
	for file := range strings.SplitSeq(out, "\x00") {
		if path.Base(file) == "task.toml" {
			configs = append(configs, path.Dir(file))
		}
		for parent := path.Dir(file); parent != "."; parent = path.Dir(parent) {
			if path.Base(parent) == "environment" {
				environments[path.Dir(parent)] = true
			}
		}
	}
	below := func(p string) bool { return dir == "." || p == dir || strings.HasPrefix(p, dir+"/") }
	found := slices.DeleteFunc(configs, func(p string) bool { return !below(p) || !environments[p] })
	slices.Sort(found)
	return found, nil
}

// read gives a file of a commit.
func (r *repo) read(ctx context.Context, commit, file string) ([]byte, error) {
	out, err := r.git(ctx, "cat-file", "blob", commit+":"+file)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", file, commit[:12], err)
	}
	return []byte(out), nil
}

// checkout puts the content of folders of a commit into the working tree, and nothing else.
func (r *repo) checkout(ctx context.Context, commit string, dirs []string) error {
	args := []string{"sparse-checkout", "set", "--no-cone", "--skip-checks"}
	for _, d := range dirs {
		if d == "." {
			args = append(args, "/*")
			continue
		}
		args = append(args, "/"+escapePattern(d)+"/")
	}
	if _, err := r.git(ctx, args...); err != nil {
		return err
	}
	if _, err := r.git(ctx, "checkout", "--quiet", "--force", "--detach", commit); err != nil {
		return err
	}
	for _, d := range dirs {
		if info, err := os.Lstat(filepath.Join(r.dir, filepath.FromSlash(d))); err != nil || !info.IsDir() {
			return fmt.Errorf("has no folder %s at %s", d, commit)
		}
	}
	return r.large(ctx, dirs)
}

// escapePattern makes a pattern of git's that only the path itself matches.
func escapePattern(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}
