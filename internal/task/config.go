package task

import "time"

// Values of the enumerated keys.
const (
	OSLinux   = "linux"
	OSWindows = "windows"

	ModeShared   = "shared"
	ModeSeparate = "separate"

	NetworkPublic    = "public"
	NetworkNone      = "no-network"
	NetworkAllowlist = "allowlist"

	StrategyMean  = "mean"
	StrategyFinal = "final"

	TransportStdio = "stdio"
	TransportSSE   = "sse"
	TransportHTTP  = "streamable-http"

	// ImageHost is the value of environment.oddish.image that allows the machine's own tools.
	ImageHost = "host"
	// ServiceMain is the compose service in which the agent works.
	ServiceMain = "main"
)

// Defaults of the keys that have one.
const (
	DefaultSchemaVersion   = "1.4"
	DefaultVerifierTimeout = 600 * time.Second
	DefaultBuildTimeout    = 600 * time.Second
	DefaultCollectTimeout  = 60 * time.Second
)

// Config is task.toml. Optional numbers are pointers; strings and lists are empty when absent.
// Sizes are MiB and times seconds, as in the file.
type Config struct {
	SchemaVersion           string // informative; also from the older key version
	Source                  string
	MultiStepRewardStrategy string // StrategyMean or StrategyFinal; mean unless set
	Artifacts               []Artifact
	Package                 *Package // [task]
	Metadata                map[string]any
	Agent                   Agent
	Verifier                Verifier
	Environment             Environment
	Solution                Solution
	Steps                   []Step // none: a single-step task
}

// Package is [task], the identity of a published task.
type Package struct {
	Name        string // org/name
	Version     string
	Description string
	Authors     []Author
	Keywords    []string
}

// Author is one of task.authors.
type Author struct{ Name, Email string }

// NetworkPolicy is a network mode with the hosts of an allowlist, in normal form. An empty Mode
// means that a phase has no policy of its own.
type NetworkPolicy struct {
	Mode         string // NetworkPublic, NetworkNone or NetworkAllowlist
	AllowedHosts []string
}

// Agent is [agent] of a task or a step.
type Agent struct {
	TimeoutSec *float64
	User       string // name or number; empty: the image's
	Network    NetworkPolicy
}

// Verifier is [verifier] of a task or a step.
type Verifier struct {
	TimeoutSec      *float64
	Env             map[string]string // values may be templates, see ResolveEnv
	User            string            // name or number; empty: the image's
	EnvironmentMode string            // ModeShared, ModeSeparate, or empty: inferred; see Task.VerifierMode
	Environment     *Environment
	Collect         []Collect
	Network         NetworkPolicy
}

// Collect is a command that runs after the agent and before artifacts are taken.
type Collect struct {
	Command    string
	Service    string // ServiceMain unless set
	TimeoutSec *float64
	User       string
}

// Timeout is the time the command has; 60 s unless set.
func (c Collect) Timeout() time.Duration { return seconds(c.TimeoutSec, DefaultCollectTimeout) }

// Solution is [solution].
type Solution struct {
	Env map[string]string // values may be templates, see ResolveEnv
}

// Environment is [environment], and [verifier.environment].
type Environment struct {
	BuildTimeoutSec *float64
	DockerImage     string
	OS              string // OSLinux or OSWindows, never empty
	CPUs            *int
	MemoryMB        *int
	StorageMB       *int
	GPUs            *int
	GPUTypes        []string
	TPU             *TPU
	MCPServers      []MCPServer
	Env             map[string]string // values may be templates, see ResolveEnv
	SkillsDir       string
	Healthcheck     *Healthcheck
	Workdir         string
	Network         NetworkPolicy // the baseline; Mode is never empty
	Oddish          Oddish
}

// TPU is environment.tpu.
type TPU struct {
	Type     string
	Topology string // such as 2x4
}

// MCPServer is one of environment.mcp_servers.
type MCPServer struct {
	Name      string
	Transport string // TransportStdio, TransportSSE or TransportHTTP
	URL       string
	Command   string
	Args      []string
}

// Healthcheck is a command that must succeed before the agent (or step) starts. Its numbers have
// their defaults filled in.
type Healthcheck struct {
	Command          string
	IntervalSec      float64 // 5
	TimeoutSec       float64 // 30
	StartPeriodSec   float64 // 0
	StartIntervalSec float64 // 5
	Retries          int     // 3
}

// Oddish is [environment.oddish]: keys of our own, which Harbor ignores.
type Oddish struct {
	Image string            // ImageHost or empty
	Fake  map[string]string // script of the fake sandbox; numbers and booleans are given as text
}

// Artifact is something to fetch from the sandbox after the agent. In the file it is a path or a table.
type Artifact struct {
	Source      string
	Destination string   // below artifacts/; empty: the source's absolute path
	Exclude     []string // tar exclude patterns
	Service     string   // compose service; empty: ServiceMain
}

// Step is one of [[steps]].
type Step struct {
	Name        string
	Instruction string // steps/NAME/instruction.md without its canary lines; Load reads it
	Agent       Agent
	Verifier    Verifier
	MinReward   map[string]float64 // a plain number is {"reward": number}; nil: no gate
	Healthcheck *Healthcheck
	Artifacts   []Artifact
}

// VerifierMode resolves whether the task's verifier runs in the agent's environment (ModeShared) or
// in one of its own (ModeSeparate).
func (t *Task) VerifierMode() string {
	v := t.Config.Verifier
	switch {
	case v.EnvironmentMode != "":
		return v.EnvironmentMode
	case v.Environment != nil:
		return ModeSeparate
	}
	return ModeShared
}

// StepVerifierMode is VerifierMode for one step.
func (t *Task) StepVerifierMode(s Step) string {
	switch {
	case s.Verifier.EnvironmentMode != "":
		return s.Verifier.EnvironmentMode
	case s.Verifier.Environment != nil:
		return ModeSeparate
	}
	return t.VerifierMode()
}
