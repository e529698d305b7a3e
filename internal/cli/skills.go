package cli

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"

	"oddish/api"
	"oddish/internal/tarball"
)

// skillFile is what makes a folder a skill.
const skillFile = "SKILL.md"

// readSkills packs the skills of --skill: each path is one, or a folder of them.
func (a *App) readSkills(paths []string) ([]api.Skill, error) {
	var skills []api.Skill
	from := map[string]string{}
	for _, p := range paths {
		dirs, err := skillDirs(a.path(p))
		if err != nil {
			return nil, usagef("--skill %s: %v", p, err)
		}
		for _, dir := range dirs {
			s, err := packSkill(dir)
			if err != nil {
				return nil, usagef("--skill %s: %v", p, err)
			}
			if other := from[s.Name]; other != "" {
				return nil, usagef("--skill: %s and %s are both named %s", other, a.shown(dir), s.Name)
			}
			from[s.Name] = a.shown(dir)
			skills = append(skills, s)
		}
	}
	return skills, nil
}

// skillDirs gives the folder, if it is a skill, or else those below it that are.
func skillDirs(dir string) ([]string, error) {
	if isSkill(dir) {
		return []string{dir}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if below := filepath.Join(dir, e.Name()); isSkill(below) {
			dirs = append(dirs, below)
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("neither the folder nor one in it has a %s", skillFile)
	}
	return dirs, nil
}

func isSkill(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, skillFile))
	return err == nil && info.Mode().IsRegular()
}

// packSkill packs one skill, under the name that its file begins with, or else its folder's.
func packSkill(dir string) (api.Skill, error) {
	s := api.Skill{Name: filepath.Base(dir)}
	data, err := os.ReadFile(filepath.Join(dir, skillFile))
	if err != nil {
		return s, err
	}
	name, err := skillName(data)
	if err != nil {
		return s, fmt.Errorf("%s: %w", filepath.Join(filepath.Base(dir), skillFile), err)
	}
	if name != "" {
		s.Name = name
	}
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(s.Name) {
		return s, fmt.Errorf("a skill cannot be named %q: want a plain folder name", s.Name)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := errors.Join(tarball.Pack(z, dir, tarball.PackOptions{Include: visible}), z.Close()); err != nil {
		return s, err
	}
	s.Archive = packed.Bytes()
	return s, nil
}

func visible(rel string, _ bool) bool { return !strings.HasPrefix(filepath.Base(rel), ".git") }

// skillName gives the name in the front matter; empty if there is none.
func skillName(file []byte) (string, error) {
	rest, has := bytes.CutPrefix(file, []byte("---\n"))
	if !has {
		return "", nil
	}
	front, _, closed := bytes.Cut(rest, []byte("\n---"))
	if !closed {
		return "", errors.New("its front matter has no end (a line ---)")
	}
	var fields struct {
		Name string `yaml:"name"`
	}
	if err := yaml.Unmarshal(front, &fields); err != nil {
		return "", err
	}
	return fields.Name, nil
}
