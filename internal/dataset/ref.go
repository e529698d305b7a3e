package dataset

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Ref says which data set is meant.
type Ref struct {
	// Name and Version are those in a registry. Without Version the newest is meant.
	Name, Version string
	// Registry is the registry's file, a folder with registry.json in it, or its address. In a repository it is a path in that; empty: registry.json.
	Registry string
	// Repo is the address of a git repository, and RepoRef a branch, tag or full commit of it; empty: its default branch. With a Name the
	// repository has a registry; without one all its tasks below Path are meant.
	Repo, RepoRef string
	Path          string
}

// ParseName reads what users give to --dataset: NAME, NAME@VERSION, or either after REGISTRY#, a file, folder or address.
func ParseName(text string) (Ref, error) {
	var r Ref
	name := text
	if i := strings.LastIndexByte(text, '#'); i >= 0 {
		r.Registry, name = text[:i], text[i+1:]
		if r.Registry == "" {
			return Ref{}, fmt.Errorf("data set %q: nothing stands before the #: want REGISTRY#NAME", text)
		}
	}
	r.Name, r.Version, _ = strings.Cut(name, "@")
	switch {
	case strings.Contains(r.Name, "/"):
		return Ref{}, fmt.Errorf("data set %q is one of Harbor's hub, which needs its service: use its repository with --repo, or a folder with its tasks as the path", text)
	case r.Name == "" || strings.HasSuffix(name, "@"):
		return Ref{}, fmt.Errorf("data set %q: want NAME or NAME@VERSION, such as terminal-bench@2.0", text)
	}
	return r, nil
}

// shortRepo is the short form of an address.
var shortRepo = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+$`)

// ParseRepo reads what users give to --repo: ORG/NAME (on GitHub) or an address of git, either with @REF.
func ParseRepo(text string) (repo, ref string, err error) {
	repo = text
	// An @ before the last slash or colon is part of the address: git@host:path, user@host.
	if i := strings.LastIndexByte(text, '@'); i > strings.LastIndexAny(text, "/:") {
		repo, ref = text[:i], text[i+1:]
		if ref == "" {
			return "", "", fmt.Errorf("repository %q: nothing stands after the @: want a branch, tag or commit", text)
		}
	}
	if shortRepo.MatchString(repo) {
		repo = "https://github.com/" + repo
	}
	if err := checkURL(repo); err != nil {
		return "", "", fmt.Errorf("repository %q: %w", text, err)
	}
	if ref != "" && !safeRef.MatchString(ref) {
		return "", "", fmt.Errorf("repository %q: %q is no branch, tag or commit", text, ref)
	}
	return repo, ref, nil
}

var safeRef = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./+-]*$`)

// checkURL refuses addresses that git would take for something else than a repository to read: an option, or a command to run.
func checkURL(address string) error {
	if strings.HasPrefix(address, "-") || strings.ContainsAny(address, "\n\r\x00") || strings.Contains(address, "::") {
		return errors.New("is no address of a git repository")
	}
	u, err := url.Parse(address)
	if err == nil && u.Scheme != "" && !strings.HasPrefix(address, "/") {
		switch u.Scheme {
		case "https", "http", "ssh", "git", "file":
			return nil
		}
		if u.Host != "" {
			return fmt.Errorf("%s:// is not among https, http, ssh, git and file", u.Scheme)
		}
	}
	if strings.ContainsAny(address, "/:") {
		return nil // a path of this machine, or host:path
	}
	return errors.New("want ORG/NAME or an address such as https://example.org/tasks.git")
}

// scpAddress is git's short form of ssh: user@host:path.
var scpAddress = regexp.MustCompile(`^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:`)

// remote reports whether a repository's address is of another machine.
func remote(address string) bool {
	scheme, _, ok := strings.Cut(address, "://")
	return ok && scheme != "file" || scpAddress.MatchString(address)
}
