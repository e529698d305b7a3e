package dockerfile

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// supported refuses what the builder does not do, as far as it can be told before variables have their values.
func supported(c instructions.Command) error {
	switch c := c.(type) {
	case *instructions.RunCommand:
		if err := c.Expand(func(word string) (string, error) { return word, nil }); err == nil {
			if err := SupportedMounts(c); err != nil {
				return err
			}
		}
		return supportedRun(c)
	case *instructions.CopyCommand:
		if c.Parents {
			return unsupported("COPY --parents")
		}
	case *instructions.AddCommand:
		if c.KeepGitDir != nil {
			return unsupported("ADD --keep-git-dir")
		}
		for _, source := range c.SourcePaths {
			if IsGit(source) {
				return unsupported("ADD of a git repository (%s): clone it in a RUN", source)
			}
		}
	}
	return nil
}

func supportedRun(c *instructions.RunCommand) error {
	if len(instructions.GetDevices(c)) > 0 {
		return unsupported("RUN --device")
	}
	if instructions.GetSecurity(c) != instructions.SecuritySandbox {
		return unsupported("RUN --security=%s", instructions.GetSecurity(c))
	}
	if instructions.GetNetwork(c) == instructions.NetworkHost {
		return unsupported("RUN --network=host")
	}
	return nil
}

// SupportedMounts refuses mounts of a RUN that the builder does not do, once it is expanded.
func SupportedMounts(c *instructions.RunCommand) error {
	for _, m := range instructions.GetMounts(c) {
		switch {
		case m.Type == instructions.MountTypeSSH:
			return unsupported("RUN --mount=type=ssh")
		case m.Type == instructions.MountTypeSecret && m.Required:
			return unsupported("RUN --mount=type=secret,required: builds are given no secrets")
		case m.Type == instructions.MountTypeCache && (m.From != "" || m.Source != "" && m.Source != "/"):
			return unsupported("RUN --mount=type=cache,from=…")
		case m.Type == instructions.MountTypeBind && !m.ReadOnly:
			return unsupported("RUN --mount=type=bind,rw")
		}
	}
	return nil
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s is not supported by builds without docker (--env docker has it)", fmt.Sprintf(format, args...))
}

// IsURL reports whether the source of an ADD is to be fetched.
func IsURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

// IsGit reports whether the source of an ADD is a git repository, as BuildKit tells it.
func IsGit(source string) bool {
	repo, _, _ := strings.Cut(source, "#")
	return strings.HasPrefix(source, "git@") || strings.HasPrefix(source, "git://") || strings.HasPrefix(source, "ssh://") ||
		IsURL(source) && strings.HasSuffix(repo, ".git")
}
