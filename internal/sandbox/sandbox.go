// Package sandbox is the contract between a trial and the place it runs in.
//
// A Provider starts sandboxes of one kind (builtin, docker, fake, ...); a Sandbox
// is one of them. The package knows nothing of tasks, agents or the queue: package
// trial, above it, drives a Sandbox; the providers, in folders below, implement it.
// Every provider passes the suite in sandboxtest.
//
// Whatever a provider cannot do is told by its Capabilities and refused with
// ErrUnsupported before anything starts; nothing asked for is ever ignored.
package sandbox

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers branch on; providers wrap them with what was being done.
var (
	// ErrNotFound: Attach was given the id of a sandbox that no longer exists,
	// or Download a path that does not.
	ErrNotFound = errors.New("not found")
	// ErrUnsupported: the provider lacks something that the Spec asks for. Retrying is useless.
	ErrUnsupported = errors.New("not supported by this sandbox")
	// ErrBuild: the image could not be built or pulled because of what it is made of. Retrying is useless.
	ErrBuild = errors.New("image cannot be built")
	// ErrOutOfMemory: the sandbox, or the command in it, was killed because it
	// exceeded its memory limit.
	ErrOutOfMemory = errors.New("out of memory")
	// ErrDiskFull: too little is free on the disk of sandboxes to start one.
	ErrDiskFull = errors.New("disk full")
	// ErrLost: the sandbox died or its provider went away while it was in use.
	ErrLost = errors.New("sandbox lost")
)

// Provider starts sandboxes of one kind. All methods may be called at once from many goroutines.
type Provider interface {
	// Kind is the name used by --env, in job rows and in results: "builtin", "docker", "fake".
	Kind() string

	// Capabilities says what sandboxes of this kind can do. It is constant for
	// the life of the provider and does no I/O.
	Capabilities() Capabilities

	// Check says why this machine cannot start such sandboxes, in words that
	// name the remedy, or returns nil. The worker calls it once before it offers the kind.
	Check(ctx context.Context) error

	// Start makes a running sandbox: image built or pulled (once per content
	// digest, however many callers ask at once), network policy in force,
	// working directory present, /logs/agent, /logs/verifier and /logs/artifacts
	// present and writable by every user. When it fails or ctx ends nothing is left behind.
	Start(ctx context.Context, spec Spec) (Sandbox, error)

	// Attach returns the running sandbox with that id, also one started by
	// a process that is gone. ErrNotFound if there is none.
	Attach(ctx context.Context, id string) (Sandbox, error)

	// List returns the sandboxes of this kind that carry the owner, running or
	// dead but not removed; with an empty owner, those of every owner. Attach and
	// Stop remove one.
	List(ctx context.Context, owner string) ([]Info, error)
}

// Sandbox is one running sandbox. Exec, Run, Upload and Download may be called
// at once; SetNetwork and Stop one at a time.
type Sandbox interface {
	// ID is unique among the sandboxes of its kind on this machine, now and later.
	ID() string

	// Exec runs a short command to its end and returns its exit status (128+n
	// for a death by signal n). A non-zero status is not an error. When ctx ends, the command's
	// process group inside the sandbox is killed and ctx's error returned.
	Exec(ctx context.Context, cmd Command) (int, error)

	// Run runs a long command that survives the caller: it is detached inside the
	// sandbox, and its output and exit status are kept in files there. Calling Run again with
	// the same Process.Name, from this or another process, does not start it a
	// second time but waits for the first. At the timeout the whole process group
	// is killed inside the sandbox. When ctx ends Run returns and the command goes on.
	Run(ctx context.Context, p Process) (Exit, error)

	// Upload extracts a tar stream into the directory dst, which is created if
	// absent. Files belong to root; modes are kept.
	Upload(ctx context.Context, dst string, tar io.Reader) error

	// Download writes a tar stream of src: a directory's content with names relative to
	// it, or one file under its base name. ErrNotFound if src does not exist.
	Download(ctx context.Context, src string, tar io.Writer) error

	// SetNetwork puts another policy in force; connections that it forbids are
	// not required to be cut. ErrUnsupported unless Capabilities.DynamicNetwork.
	SetNetwork(ctx context.Context, policy Network) error

	// Stop kills everything in the sandbox and removes it, at once: its work is over.
	// Stopping twice, or one that died, is no error.
	Stop(ctx context.Context) error
}

// As finds out whether a sandbox, or one that it wraps (by a method Unwrap() Sandbox), is of a kind that can do more, such as NetworkLogger.
func As[T any](s Sandbox) (T, bool) {
	for s != nil {
		if t, is := s.(T); is {
			return t, true
		}
		w, wraps := s.(interface{ Unwrap() Sandbox })
		if !wraps {
			break
		}
		s = w.Unwrap()
	}
	var none T
	return none, false
}

// NetworkLogger is a Sandbox that keeps a log of what it tried to reach.
type NetworkLogger interface {
	// NetworkLog writes the log as it is now: a line of JSON for each connection that is over or was refused, and each question for a name that
	// was refused. See docs/results.md for its fields.
	NetworkLog(ctx context.Context, to io.Writer) error
}

// Capabilities is what a provider can do.
type Capabilities struct {
	// Image kinds.
	HostImage bool // the machine's own root file system, Image.Host
	Images    bool // Image.Reference
	Build     bool // Image.Context with a Dockerfile
	Compose   bool // Spec.Compose; the sandbox is a Services
	// Network.
	NoNetwork      bool // NetworkNone is enforced
	Allowlist      bool // NetworkAllowlist is enforced
	DynamicNetwork bool // SetNetwork works
	// ServiceAddr is the host:port at which Spec.ServiceSocket is reached inside
	// the sandbox, whatever the network policy; empty if services cannot be offered.
	ServiceAddr string
	// Programs: Spec.Programs is shown at ProgramsDir.
	Programs bool
	// Limits that are enforced.
	CPULimit, MemoryLimit, StorageLimit, GPUs bool
	// Remote sandboxes use none of this machine's resources.
	Remote bool
	// Isolation is the level of docs/security.md: 0 process, 1 container, 2 own kernel, 3 virtual machine.
	Isolation int
}

// Spec describes a sandbox to start.
type Spec struct {
	// Name is shown to people and is unique among running sandboxes (a trial directory's name).
	Name string
	// Owner names the installation (not the process) on whose behalf it runs; see Provider.List.
	Owner string
	// Labels are kept with the sandbox and returned by List.
	Labels map[string]string

	Image     Image
	Compose   *Compose // nil: a sandbox of one container
	Env       map[string]string
	Workdir   string // default working directory of every command; empty: the image's
	Resources Resources
	Network   Network
	// ServiceSocket is a unix socket on this machine to which connections to
	// Capabilities.ServiceAddr are forwarded; empty: none.
	ServiceSocket string
	// Programs is a folder of this machine that is shown read-only at ProgramsDir, with what is added to it later; empty: none.
	// What is to be read inside must be readable by everybody.
	Programs string
	// BuildLog takes what the build of an image says, if one has to be built; nil discards it. Sandboxes that share a build get all of it each.
	BuildLog io.Writer
	// Options are the provider's own (--ek key=value); an unknown one is ErrUnsupported.
	Options map[string]string
}

// Compose asks for services beside the one in which commands run. That one is the service MainService, made of Image unless the files say
// otherwise; Env, Workdir, Resources, Programs and ServiceSocket are its alone, and Network is that of all.
type Compose struct {
	// Dir is the folder with the files, on this machine. Nothing else of the machine is shown to services.
	Dir string
	// Files are the compose files, absolute, each merged over those before it.
	Files []string
	// Digest is the content digest of Dir, hex; the key under which builds are shared.
	Digest string
	// Env is what ${NAME} may stand for in the files, besides what the provider sets.
	Env map[string]string
}

// MainService is the service in which commands run.
const MainService = "main"

// Services is a Sandbox with services beside the main one.
type Services interface {
	// Services gives the names of all, the main one included, sorted.
	Services(ctx context.Context) ([]string, error)
	// Service gives one of them, of which Exec, Run, Upload and Download are the service's own; SetNetwork and Stop are those of the
	// whole. ErrNotFound if there is none of that name.
	Service(ctx context.Context, name string) (Sandbox, error)
	// ServiceLog writes what a service has said so far.
	ServiceLog(ctx context.Context, name string, to io.Writer) error
}

// ProgramsDir is where sandboxes show Spec.Programs.
const ProgramsDir = "/oddish/programs"

// Image says what the root file system is made of: exactly one of Host, Reference and Context,
// except that Context may accompany Reference (used when ForceBuild). An image's ENTRYPOINT is run beside all commands, from the start, and is given a command
// that lasts as long as the sandbox; its CMD is not run.
type Image struct {
	Host       bool   // this machine's own tools, read-only, secrets hidden
	Reference  string // name[:tag][@digest] of a prebuilt image
	Context    string // folder with a Dockerfile, on this machine
	Digest     string // content digest of Context, hex; the key under which the build is shared
	ForceBuild bool
}

// Resources are upper bounds; zero means none. A bound that the provider does not enforce
// (see Capabilities) is not an error, only a lack that the caller reports.
type Resources struct {
	CPUs         float64
	MemoryBytes  int64
	StorageBytes int64
	GPUs         int
}

// NetworkMode is what a sandbox may reach.
type NetworkMode string

// The three modes of Harbor's task format.
const (
	NetworkPublic    NetworkMode = "public"
	NetworkNone      NetworkMode = "no-network"
	NetworkAllowlist NetworkMode = "allowlist"
)

// Network is a network policy. The zero value means NetworkPublic.
type Network struct {
	Mode  NetworkMode
	Hosts []string // only with NetworkAllowlist: names, *.suffix, IPs, CIDRs
}

// Command is one command. Script is run as `bash -c Script`, or by sh where the image has no bash.
type Command struct {
	// Label says what the command is for ("agent", "verifier", "healthcheck", ...). It is for logs and the fake provider.
	Label  string
	Script string
	Env    map[string]string // on top of Spec.Env
	Dir    string            // empty: Spec.Workdir, else the image's
	User   string            // name or number; empty: the image's
	Stdin  io.Reader
	Stdout io.Writer // nil discards
	Stderr io.Writer // nil discards
}

// Process is a long command; see Sandbox.Run. Stdin, Stdout and Stderr of its Command are not used.
type Process struct {
	Command
	// Name is [a-z0-9-]+ and unique in the sandbox.
	Name string
	// Output is the absolute path in the sandbox of the file that takes
	// stdout and stderr. Its directory must be writable by the user.
	Output string
	// OutputLimit bounds Output in bytes; the rest is dropped and a note appended. Zero: DefaultOutputLimit.
	OutputLimit int64
	// Timeout, counted from the start inside the sandbox; zero: none.
	Timeout time.Duration
	// Live, if set, is given the output as it grows, in order, soon after it was
	// written (within a second or two). Writes happen from one goroutine.
	Live io.Writer
}

// DefaultOutputLimit bounds the output file of a Process, in bytes.
const DefaultOutputLimit = 64 << 20

// Exit is how a Process ended.
type Exit struct {
	Code      int  // exit status, 128+n for a death by signal n; 137 when TimedOut
	TimedOut  bool // killed at its timeout; beside an error: it could not be, and the sandbox is lost
	Truncated bool // Output reached its limit
}

// Info describes a sandbox in a list.
type Info struct {
	ID      string
	Name    string
	Owner   string
	Labels  map[string]string
	Created time.Time
	Running bool
}
