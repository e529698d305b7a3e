package agent

import (
	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/usage"
)

// Definition describes a program that is an agent: how it comes into a sandbox, how it is started, and how to read what it
// leaves. Everything else (looking for it in the image, installing, deadlines, error names) is the same for all and
// done by installed.
type Definition struct {
	Name        string
	Description string

	Package Package
	// Output is the file in LogsDir that takes what the program prints.
	Output string
	// Record is a further file in LogsDir, if it is there that the program tells how it ended; empty: it prints that.
	Record string
	// Options are the kwargs that it takes besides those of every installed agent (see commonOptions).
	Options []Option
	// NoModel: the program may run without a model.
	NoModel bool
	// OwnKey is the variable with the key of the program's own service, for a program that speaks to no other: the user gives it with --ae, it
	// goes into the sandbox, and there is no gateway between, so that nothing is counted or bounded. Dialects is nil then.
	OwnKey string
	// Tells is what the program itself tells of its model calls.
	Tells Tells
	// MCP: Launch gives the task's tool servers to it. Skills: Launch brings skills to where the program looks for them.
	MCP, Skills bool
	// Dialects of the model API that the program can speak with models of the given provider, the best first.
	Dialects func(provider string) []llm.Dialect
	// Launch says how to start it.
	Launch func(Request) (Launch, error)
	// Read reads what it left in a folder with the content of LogsDir. A file that is missing or cut off is no error: the
	// agent may have been killed. Nil: it leaves nothing that can be read.
	Read func(dir string) (*Log, error)
}

// Tells says which numbers of its own a program leaves.
type Tells struct{ Tokens, Cost bool }

// Package is where a program comes from.
type Package struct {
	// Command is its name on the PATH of images that bring it.
	Command string
	// NPM or PyPI is its name in that registry, Version the one that was tested and is installed when no other is asked for.
	NPM, PyPI string
	Version   string
	// NPMPlatform is the package that has the program for one platform, if that alone will do instead of NPM, with words in braces as in Native.
	NPMPlatform string
	// Native is the path of a program in the installed NPM package that needs no Node, with {cpu} and {libc}
	// replaced by npm's words ("x64", "" or "-musl"), {musl} by "" or "musl", and {arch} by the kernel's ("x86_64").
	Native string
	// Tools is a folder beside it that goes onto the PATH of the program.
	Tools string
	// Python are the least and the last version of Python 3 that the PyPI package runs on, such as 10 and 12; 0: any.
	Python [2]int
	// Script is what Node runs, if there is no Native, and Node the least major version that it needs.
	Script string
	Node   int
	// Vendor is for programs that no registry has.
	Vendor *Vendor
	// VersionFlag makes it tell its version, in the first line that it prints; empty: --version.
	VersionFlag string
}

// Vendor brings a program from where its maker puts it, in the sandbox itself, which needs a network for that.
type Vendor struct {
	// Source is the place, for users.
	Source string
	// Script is run as root by the shell, in a folder $PREFIX that exists; $VERSION is the wanted version, {cpu}, {libc} and {arch} are replaced as in
	// Native, and need installs packages of the image's package manager.
	Script string
	// Program is the path of the program below $PREFIX.
	Program string
	// Ref: what is asked for as the version is a branch, tag or commit, which the program does not tell.
	Ref bool
}

// Option is a kwarg of an agent.
type Option struct {
	Name    string
	Flag    string   // command line flag that takes it as its next argument, or with "=" at its end, in the same
	Env     string   // variable that takes it
	Values  []string // allowed; empty: any
	Default string
	// Switch: the value is true or false, and Flag stands alone.
	Switch bool
	// Form is the language of a value that is a configuration of the program's own: JSON, TOML or YAML. An object is written in it, and where
	// `oddish run` runs the value may be the name of a file. Empty: any text.
	Form string
	// Help says in a few words what it does.
	Help string
}

// Request is what Launch is given.
type Request struct {
	Provider, Model string // the model's id, cut at its first slash; both empty for an agent without one
	// Dialect is the first of Dialects that is served, BaseURL where, without a version at its end, and Token what the program sends as its key.
	Dialect        llm.Dialect
	BaseURL, Token string
	// Options are the kwargs as text, with defaults; Flags is the part of the command line that they make.
	Options map[string]string
	Flags   string
	// Program starts the agent and Prompt is the file with the instruction, both as shell words.
	Program, Prompt string
	MCP             []MCPServer
	Skills          string // folder in the sandbox; empty: none
}

// Launch is how an agent is started.
type Launch struct {
	// Script is run by bash with pipefail, from the task's working directory; its output is kept in LogsDir.
	Script string
	Env    map[string]string
	Files  []File
	// After is run when the agent has ended, however it did: it brings what Read needs into LogsDir.
	After string
}

// File is a file that the agent needs, readable only by its user.
type File struct {
	Path    string // absolute, or beginning with ~/
	Content string
}

// MCPServer is a tool server that the task offers to its agent.
type MCPServer struct {
	Name, Transport string // stdio, sse or streamable-http
	URL             string
	Command         string
	Args            []string
}

// Log is what an agent tells of its run.
type Log struct {
	// Usage and CostUSD are the agent's own sums; what it does not tell is nil.
	Usage   usage.Usage
	CostUSD *float64
	// Trajectory is nil if there is no step to tell of.
	Trajectory *atif.Trajectory
	// Images are the pictures that it refers to; nil: it has none.
	Images *atif.Images
	// Own: the agent worked outside the sandbox, so that a trajectory which was left in the sandbox is none of its.
	Own bool
	// Metadata is what Harbor's agent of that name tells besides.
	Metadata map[string]any
	// Answered: at least one call of the model was answered.
	Answered bool
	// Failure is the error with which the agent gave up; nil: it told none.
	Failure *Failure
}

// Failure is an error as an agent tells it.
type Failure struct {
	// Type is the error's name, if the agent's own words leave no doubt; else it is found from Status and Message.
	Type    string
	Status  int // of HTTP; 0: unknown
	Message string
}
