package imagebuild

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"oddish/internal/dockerfile"
	"oddish/internal/image"
	"oddish/internal/sandbox"
)

// outputTail is how much of a failed command's output its error quotes, in bytes.
const outputTail = 2000

// run carries out a RUN.
func (s *stage) run(ctx context.Context, c *instructions.RunCommand) error {
	if err := dockerfile.SupportedMounts(c); err != nil {
		return failed(err)
	}
	argv, script, err := s.commandLine(c)
	if err != nil {
		return failed(err)
	}
	m, err := s.mounts(ctx, c)
	if err != nil {
		return err
	}
	defer m.close()
	if err := s.prepareTargets(ctx, m); err != nil {
		return err
	}
	command := Command{
		Argv: argv, Env: maps.Clone(s.vars.args), Dir: cmp.Or(s.config.WorkingDir, "/"), User: s.config.User,
		NoNetwork: instructions.GetNetwork(c) == instructions.NetworkNone,
	}
	for key := range s.vars.env { // which counts more
		delete(command.Env, key)
	}
	key, err := json.Marshal([]any{"run", command, s.config.Env, script, m.keys})
	if err != nil {
		return err
	}
	if script != nil {
		if err := m.script(script); err != nil {
			return fmt.Errorf("prepare a script: %w", err)
		}
	}
	return s.extend(ctx, c, string(key), func(ctx context.Context) (io.ReadCloser, error) {
		return s.changes(ctx, c, command, m)
	})
}

// changes runs the command and gives what it changed.
func (s *stage) changes(ctx context.Context, c *instructions.RunCommand, command Command, m *mounts) (io.ReadCloser, error) {
	var unlock func()
	var err error
	if command.Mounts, unlock, err = m.ready(ctx, s.Store); err != nil {
		return nil, err
	}
	defer unlock()
	img, err := s.image()
	if err != nil {
		return nil, err
	}
	tail := &sandbox.Tail{Most: outputTail}
	command.Output = &log{to: io.MultiWriter(s.out, tail)}
	exit, changes, err := s.Runner.Run(ctx, img, command)
	if err != nil {
		return nil, err
	}
	if exit != 0 {
		return nil, failedf("%s: exit status %d\n%s", c, exit, strings.TrimSpace(string(tail.Data)))
	}
	return changes, nil
}

// scriptDir is where the script of a RUN is that is a here-document with an interpreter of its own.
const scriptDir = ScratchDir + "/script"

// commandLine is what a RUN runs, and the script that it brings. Here-documents are put together as BuildKit does.
func (s *stage) commandLine(c *instructions.RunCommand) (argv []string, script *instructions.ShellInlineFile, err error) {
	if len(c.Files) == 0 {
		return s.words(c.ShellDependantCmdLine), nil, nil
	}
	if len(c.CmdLine) != 1 || !c.PrependShell {
		return nil, nil, fmt.Errorf("a here-document belongs to a RUN in shell form")
	}
	line, first := c.CmdLine[0], c.Files[0]
	if parser.MustParseHeredoc(line) == nil { // it is one of several words: the shell reads it
		for _, f := range c.Files {
			line += "\n" + f.Data + f.Name
		}
		return s.words(instructions.ShellDependantCmdLine{CmdLine: []string{line}, PrependShell: true}), nil, nil
	}
	if first.Chomp {
		first.Data = parser.ChompHeredocContent(first.Data)
	}
	if strings.HasPrefix(first.Data, "#!") {
		return []string{scriptDir + "/" + first.Name}, &first, nil
	}
	return s.words(instructions.ShellDependantCmdLine{CmdLine: []string{first.Data}, PrependShell: true}), nil, nil
}

// mounts are what a RUN is shown beside the stage.
type mounts struct {
	keys   []string // what the result depends on
	list   []Mount
	caches []cache
	files  map[string]bool // targets that are files
	opened []*source
	temp   []string
}

// cache is a folder that builds keep.
type cache struct {
	id, target string
	mode       fs.FileMode
	own        owner
}

func (m *mounts) close() {
	for _, s := range m.opened {
		s.close()
	}
	for _, dir := range m.temp {
		_ = os.RemoveAll(dir) // in the folder for temporary files
	}
}

// mounts finds what the --mount flags of a RUN name.
func (s *stage) mounts(ctx context.Context, c *instructions.RunCommand) (*mounts, error) {
	m := &mounts{files: map[string]bool{}}
	for _, spec := range instructions.GetMounts(c) {
		var err error
		switch spec.Type {
		case instructions.MountTypeTmpfs:
			m.list = append(m.list, Mount{Target: s.absolute(spec.Target)})
			m.keys = append(m.keys, "tmpfs "+s.absolute(spec.Target))
		case instructions.MountTypeCache:
			err = s.cacheMount(m, spec)
		case instructions.MountTypeBind:
			err = s.bindMount(ctx, m, spec)
		case instructions.MountTypeSecret: // there is none, and none is demanded
		}
		if err != nil {
			m.close()
			return nil, err
		}
	}
	slices.SortFunc(m.caches, func(a, b cache) int { return cmp.Compare(a.id, b.id) }) // builds lock them in one order
	return m, nil
}

func (s *stage) cacheMount(m *mounts, spec *instructions.Mount) error {
	c := cache{id: spec.CacheID, target: s.absolute(spec.Target), mode: 0o755}
	if c.id == "" {
		c.id = c.target
	}
	if spec.Mode != nil {
		c.mode = fs.FileMode(*spec.Mode)
	}
	if spec.UID != nil {
		c.own.uid = int(*spec.UID)
	}
	if spec.GID != nil {
		c.own.gid = int(*spec.GID)
	}
	if slices.ContainsFunc(m.caches, func(d cache) bool { return d.id == c.id }) {
		return failedf("two mounts of one RUN are of the cache %s", c.id)
	}
	m.caches = append(m.caches, c)
	m.keys = append(m.keys, "cache "+c.id+" "+c.target)
	return nil
}

func (s *stage) bindMount(ctx context.Context, m *mounts, spec *instructions.Mount) error {
	from := s.files
	if spec.From != "" {
		var err error
		if from, err = s.named(ctx, spec.From); err != nil {
			return err
		}
		m.opened = append(m.opened, from)
	}
	at, info, err := from.stat(relative(spec.Source))
	if err != nil {
		return failedf("--mount source %s is not in %s", cmp.Or(spec.Source, "/"), from.what)
	}
	target := s.absolute(spec.Target)
	m.list = append(m.list, Mount{Source: from.path(at), Target: target})
	m.files[target] = !info.IsDir()
	key := from.chain
	if key == "" {
		if key, err = s.contentKey(from, at); err != nil {
			return err
		}
	}
	m.keys = append(m.keys, target+" "+at+" "+key)
	return nil
}

// contentKey is a digest of a file, or of a folder with all in it.
func (s *stage) contentKey(from *source, at string) (string, error) {
	w := &copying{stage: s, from: from, dest: "/"}
	if err := w.one(at); err != nil {
		return "", err
	}
	return w.layer.sum()
}

// prepareTargets makes what is missing of the places at which mounts are shown. They stay in the image, as in docker.
func (s *stage) prepareTargets(ctx context.Context, m *mounts) error {
	var dirs []string
	for _, mount := range m.list {
		if !m.files[mount.Target] {
			dirs = append(dirs, mount.Target)
			continue
		}
		root, err := s.Store.Root(s.chain)
		if err != nil {
			return err
		}
		if _, err := image.Resolve(root, mount.Target); err == nil {
			continue
		}
		l := &layer{}
		l.text(mount.Target, "", 0o755, owner{})
		if err := s.lay(ctx, "touch "+mount.Target, l.stream); err != nil {
			return err
		}
	}
	for _, c := range m.caches {
		dirs = append(dirs, c.target)
	}
	return s.makeDirs(ctx, dirs...)
}

// script brings the script that is to be run.
func (m *mounts) script(f *instructions.ShellInlineFile) error {
	dir, err := os.MkdirTemp("", "oddish-build-")
	if err != nil {
		return err
	}
	m.temp = append(m.temp, dir)
	m.list = append(m.list, Mount{Target: scriptDir, Source: dir})
	file := filepath.Join(dir, filepath.Base(f.Name))
	if err := os.WriteFile(file, []byte(f.Data), 0o600); err != nil {
		return err
	}
	for _, path := range []string{dir, file} { // not as the umask has it
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// ready makes the folders that the mounts show. unlock ends their use.
func (m *mounts) ready(ctx context.Context, store *image.Store) (list []Mount, unlock func(), err error) {
	var unlocks []func()
	unlock = func() {
		for _, u := range unlocks {
			u()
		}
	}
	list = slices.Clone(m.list)
	for _, c := range m.caches {
		dir, u, err := store.Cache(ctx, c.id)
		if err != nil {
			unlock()
			return nil, func() {}, err
		}
		unlocks = append(unlocks, u)
		if err := c.prepare(dir); err != nil {
			unlock()
			return nil, func() {}, err
		}
		list = append(list, Mount{Source: dir, Target: c.target, Writable: true})
	}
	return list, unlock, nil
}

// prepare gives a cache the owner and mode that are asked for. What is in it stays as it is.
func (c cache) prepare(dir string) error {
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, c.own.uid, c.own.gid); err != nil {
			return fmt.Errorf("prepare the cache %s: %w", c.id, err)
		}
	}
	if err := os.Chmod(dir, c.mode); err != nil {
		return fmt.Errorf("prepare the cache %s: %w", c.id, err)
	}
	return nil
}
