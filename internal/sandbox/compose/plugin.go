package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"oddish/internal/sandbox"
)

// Plugin runs `docker compose`.
type Plugin struct {
	// Host is the engine's address.
	Host string
	// Getenv reads the environment of this process.
	Getenv func(string) string
}

// passed are the variables of this process that the docker program needs. Nothing else of its environment is given to the
// plugin, since compose files can read all that it has.
var passed = []string{"PATH", "HOME", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "XDG_RUNTIME_DIR", "TMPDIR"}

// interrupted is how long a plugin that was told to stop may take before it is killed.
const interrupted = 5 * time.Second

// Check says why projects cannot be started here, in words that name the remedy.
func (c *Plugin) Check(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return fmt.Errorf("%w: compose tasks need the program `docker` on the worker's PATH, and its plugin `docker compose` v2: install docker-cli and docker-compose-plugin (https://docs.docker.com/compose/install/linux/)", sandbox.ErrUnsupported)
	}
	out, err := c.run(ctx, "version", "--short")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w: compose tasks need the plugin `docker compose` v2, which this machine's docker does not have: install docker-compose-plugin, "+
			"or put the program docker-compose into ~/.docker/cli-plugins (https://docs.docker.com/compose/install/linux/) (%w)", sandbox.ErrUnsupported, err)
	}
	if v := strings.TrimPrefix(strings.TrimSpace(string(out)), "v"); strings.HasPrefix(v, "1.") {
		return fmt.Errorf("%w: compose tasks need `docker compose` v2, and this is %s: install docker-compose-plugin", sandbox.ErrUnsupported, v)
	}
	return nil
}

// Files are the compose files of one project, with what ${NAME} stands for in them.
type Files struct {
	Project string // name
	Dir     string // project directory
	Names   []string
	EnvFile string // see Environment; empty: none
}

// Merge gives the files as one, with variables replaced. A file that means nothing is ErrBuild.
func (c *Plugin) Merge(ctx context.Context, f Files) (*Project, error) {
	out, err := c.run(ctx, f.args("config", "--format", "json")...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: compose file: %w", sandbox.ErrBuild, err)
	}
	return parse(out)
}

// Build builds the image of a service, and writes to out what is said, from two goroutines.
func (c *Plugin) Build(ctx context.Context, f Files, service string, out io.Writer) error {
	return c.start(ctx, out, out, f.args("--progress", "plain", "build", service))
}

// Create makes all containers and networks and starts nothing.
func (c *Plugin) Create(ctx context.Context, f Files) error {
	_, err := c.run(ctx, f.args("--progress", "quiet", "create", "--no-build")...)
	return err
}

// Up starts what Create made and waits until it runs and is healthy.
func (c *Plugin) Up(ctx context.Context, f Files) error {
	_, err := c.run(ctx, f.args("--progress", "quiet", "up", "--detach", "--wait", "--no-build", "--no-recreate")...)
	return err
}

// args gives the arguments of a verb, which may have global options before it. The folder's .env is not read: a file of
// variables is always named.
func (f Files) args(verb ...string) []string {
	env := f.EnvFile
	if env == "" {
		env = os.DevNull
	}
	args := []string{"--project-name", f.Project, "--project-directory", f.Dir, "--env-file", env}
	for _, name := range f.Names {
		args = append(args, "--file", name)
	}
	return append(args, verb...)
}

// run runs the plugin and gives its stdout.
func (c *Plugin) run(ctx context.Context, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := c.start(ctx, &out, io.Discard, args)
	return out.Bytes(), err
}

// start runs the plugin to its end, with its two streams to writers, which may be one that takes writes of several goroutines. When ctx ends it is told to
// stop, and it ends with this process.
func (c *Plugin) start(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	cmd := exec.CommandContext(ctx, "docker", append([]string{"compose"}, args...)...)
	cmd.Env = c.environ()
	said := &sandbox.Tail{Most: 4000}
	cmd.Stdout, cmd.Stderr = stdout, io.MultiWriter(stderr, said)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithUs(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = interrupted
	// The plugin dies with the thread that started it, which must not end before.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if ctx.Err() != nil {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what of the group is left
		}
		return ctx.Err()
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("docker compose: %s", strings.TrimSpace(string(said.Data)))
	}
	if err != nil {
		return fmt.Errorf("docker compose: %w", err)
	}
	return nil
}

// environ is the environment of the plugin.
func (c *Plugin) environ() []string {
	var all []string
	for _, name := range passed {
		if v := c.Getenv(name); v != "" {
			all = append(all, name+"="+v)
		}
	}
	return append(all, "DOCKER_HOST="+c.Host, "COMPOSE_ANSI=never", "COMPOSE_MENU=false")
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Environment is the text of Files.EnvFile. Variables of a task must not come into the environment of the plugin, where DOCKER_CONFIG or LD_PRELOAD
// would make it run programs of the task on this machine; those that the plugin itself might heed are left out here, too.
func Environment(env map[string]string) []byte {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "\n", `\n`, "\r", `\r`)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if variableName.MatchString(name) && !strings.HasPrefix(name, "COMPOSE_") && !strings.HasPrefix(name, "DOCKER_") {
			fmt.Fprintf(&text, "%s=\"%s\"\n", name, escape.Replace(env[name]))
		}
	}
	return []byte(text.String())
}
