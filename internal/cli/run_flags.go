package cli

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"oddish/internal/task"
)

// runFlags are the flags of `oddish run` as they were given.
type runFlags struct {
	cmd *cobra.Command // to see which were given

	path, config, task string
	dataset, repo      string
	registryURL        string
	registryPath       string
	include, exclude   []string
	nTasks             int

	arms        armList
	nTrials     int
	agentEnv    pairs
	agentKwargs pairs
	mcpConfig   []string
	skills      []string
	baseURL     string
	budget      budgetFlag
	trialBudget budgetFlag
	record      bool
	replay      string
	helperModel string

	env                     string
	envKwargs               pairs
	cpus                    int
	memoryMB                int
	storageMB               int
	gpus                    int
	forceBuild              bool
	noForce                 bool
	noVerify                bool
	verify                  bool
	artifacts               []string
	extraPaths              []string
	extraTexts              []string
	extraCompose            []string
	envHosts                []string
	keep                    time.Duration
	isolation               int
	cpuPolicy, memoryPolicy string
	agentHosts              []string
	maxAttempts             int
	multipliers             [5]float64 // see multiplierFlags

	priority, experiment, user, githubUser, githubMeta string
	again                                              bool

	watch, noWatch, background, async, quiet, json bool
	failOn                                         []string

	api         string
	port        int
	nConcurrent jsonInts
	fresh       bool
	yes         bool
	envFile     string

	// Of other versions; refused with advice.
	publish, runAnalysis string
}

const (
	adviceAnalysis = "trial analysis is not available"
	advicePublish  = "experiments cannot be published: this server has no public pages"
)

// multiplierFlags are the timeout multipliers in the order of runFlags.multipliers.
var multiplierFlags = [5]struct{ name, usage string }{
	{"timeout-multiplier", "`N`: multiply every timeout of the task"},
	{"agent-timeout-multiplier", "`N`: multiply the agent's timeout"},
	{"verifier-timeout-multiplier", "`N`: multiply the verifier's timeout"},
	{"agent-setup-timeout-multiplier", "`N`: multiply the timeout for installing the agent"},
	{"environment-build-timeout-multiplier", "`N`: multiply the timeout for starting the sandbox"},
}

func (f *runFlags) define(fs *pflag.FlagSet) {
	f.agentEnv, f.agentKwargs, f.envKwargs = pairs{}, pairs{}, pairs{}
	fs.SortFlags = false
	inGroup(fs, "Tasks", f.defineTasks)
	inGroup(fs, "Agents", f.defineAgents)
	inGroup(fs, "Sandbox and trial", f.defineSandbox)
	inGroup(fs, "Experiment", f.defineExperiment)
	inGroup(fs, "Output", f.defineOutput)
	inGroup(fs, "Server", f.defineServer)
	f.defineRefused(fs)
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "agent-env":
			name = "ae"
		case "agent-kwarg":
			name = "ak"
		case "env-kwarg":
			name = "ek"
		}
		return pflag.NormalizedName(name)
	})
}

func (f *runFlags) defineTasks(fs *pflag.FlagSet) {
	fs.StringVarP(&f.path, "path", "p", "", "`DIR`: task, or folder of tasks; the same as PATH")
	fs.StringVarP(&f.dataset, "dataset", "d", "", "`NAME[@VERSION]`: data set of a registry, instead of a path; REGISTRY#NAME for one of another registry, a file, folder or address")
	fs.StringVar(&f.repo, "repo", "", "`REPO[@REF]`: git repository, as ORG/NAME or address, with its branch, tag or commit: all its tasks (below --path), or those of --dataset in its registry.json")
	fs.StringVar(&f.registryURL, "registry-url", "", "`URL`: of the registry.json in which --dataset is looked up")
	fs.StringVar(&f.registryPath, "registry-path", "", "`FILE`: the same, on this machine; with --repo, in the repository")
	fs.StringVar(&f.task, "task", "", "`ID`: run an uploaded task again, instead of a path")
	fs.StringArrayVarP(&f.include, "task-name", "t", nil, "`GLOB`: only tasks with such a name; repeatable")
	fs.StringArrayVarP(&f.exclude, "exclude-task-name", "x", nil, "`GLOB`: no tasks with such a name; repeatable")
	fs.IntVarP(&f.nTasks, "n-tasks", "l", 0, "`N`: at most so many tasks, after the filters")
	fs.StringVarP(&f.config, "config", "c", "", "`FILE`: sweep file, or a job configuration of Harbor's (YAML or JSON); flags win over it")
}

func (f *runFlags) defineAgents(fs *pflag.FlagSet) {
	fs.VarP(agentValue{&f.arms}, "agent", "a", "`AGENT`: who works on the tasks, or a FILE.toml that describes a program of your own; repeatable (default "+defaultAgent+")")
	fs.VarP(modelValue{&f.arms}, "model", "m", "`MODEL`: of the agent before it, or of all agents if it stands first; several are run one beside the other")
	fs.IntVar(&f.nTrials, "n-trials", 1, "`N`: trials of each task with each agent and model")
	fs.Var(f.agentEnv, "ae", "`KEY=VALUE`: environment of the agent; repeatable (also --agent-env)")
	fs.Var(f.agentKwargs, "ak", "`KEY=VALUE`: option of the agent; repeatable (also --agent-kwarg)")
	fs.StringArrayVar(&f.mcpConfig, "mcp-config", nil, "`FILE`: tool servers for the agents, besides the task's (JSON, YAML or TOML); repeatable")
	fs.StringArrayVar(&f.skills, "skill", nil, "`DIR`: skill for the agents, a folder with a SKILL.md, or a folder of such folders; repeatable")
	fs.StringVar(&f.baseURL, "base-url", "", "`URL`: of the model's API, instead of the provider's; as the worker reaches it")
	fs.Var(&f.budget, "budget", "`AMOUNT`: of the experiment, such as 25usd, 2mtok or 100calls, or several with commas; when it is used up, agents are stopped")
	fs.Var(&f.trialBudget, "trial-budget", "`AMOUNT`: of each trial")
	fs.BoolVar(&f.record, "record", false, "keep all that agents ask models and what is answered, in model-requests.jsonl of each trial")
	fs.StringVar(&f.replay, "replay", "", "`EXPERIMENT`: name or id of one that was run with --record: its trials' answers stand for the models', without provider, key and cost")
	fs.StringVar(&f.helperModel, "helper-model", "", "`POLICY`: what becomes of calls of other models than the trial's, as for titles: allow, same (the trial's own is asked), refuse, or the MODEL that is asked instead (default allow, with --base-url same)")
}

func (f *runFlags) defineSandbox(fs *pflag.FlagSet) {
	fs.StringVarP(&f.env, "env", "e", "", "`KIND`: sandbox, one of "+strings.Join(sandboxKinds(), ", ")+" (default: the server chooses)")
	fs.Var(f.envKwargs, "ek", "`KEY=VALUE`: option of the sandbox; repeatable (also --env-kwarg)")
	fs.IntVar(&f.cpus, "override-cpus", 0, "`N`: processors, instead of what the task asks for")
	fs.IntVar(&f.memoryMB, "override-memory-mb", 0, "`MB`: memory, instead of what the task asks for")
	fs.IntVar(&f.storageMB, "override-storage-mb", 0, "`MB`: disk, instead of what the task asks for")
	fs.IntVar(&f.gpus, "override-gpus", 0, "`N`: GPUs, instead of what the task asks for")
	fs.StringVar(&f.cpuPolicy, "cpus", "", "`MODE`: how processors are bounded: auto (where the sandbox can), limit (else refuse), ignore")
	fs.StringVar(&f.memoryPolicy, "memory", "", "`MODE`: how memory is bounded: auto, limit, ignore")
	fs.BoolVar(&f.forceBuild, "force-build", false, "build the image even where a built or named one exists")
	fs.BoolVar(&f.noForce, "no-force-build", false, "use an image that exists")
	fs.BoolVar(&f.noVerify, "disable-verification", false, "do not run the tests; trials have no reward")
	fs.BoolVar(&f.verify, "enable-verification", false, "run the tests even if the sweep file says no")
	fs.IntVar(&f.isolation, "min-isolation", 0, "`LEVEL`: refuse trials in sandboxes that isolate less: 1 containers, 2 an own kernel (builtin), 3 virtual machines")
	fs.StringArrayVar(&f.envHosts, "allow-environment-host", nil, "`HOST`: name, *.suffix, address or CIDR block that tasks without a public network may reach as well; repeatable")
	fs.StringArrayVar(&f.agentHosts, "allow-agent-host", nil, "`HOST`: the same, while the agent works; repeatable")
	fs.DurationVar(&f.keep, "keep-on-failure", 0, "`TIME`: keep the sandboxes of trials that go wrong so long, for `oddish sandbox shell` (2h if no time is given)")
	fs.Lookup("keep-on-failure").NoOptDefVal = "2h"
	fs.StringArrayVar(&f.extraCompose, "extra-docker-compose", nil, "`FILE`: compose file that is laid over the tasks' own, or gives services to those without; repeatable")
	fs.StringArrayVar(&f.artifacts, "artifact", nil, "`PATH`: file or folder of the sandbox to keep as well; repeatable")
	fs.StringArrayVar(&f.extraPaths, "extra-instruction-path", nil, "`FILE`: append its text to what the tasks tell the agents, in every step; repeatable")
	fs.StringArrayVar(&f.extraTexts, "extra-instruction", nil, "`TEXT`: append this, after the files; repeatable")
	fs.IntVar(&f.maxAttempts, "max-attempts", 0, "`N`: how often a trial may be tried that fails for no fault of its own (default: the server's, 3)")
	for i, m := range multiplierFlags {
		fs.Float64Var(&f.multipliers[i], m.name, 0, m.usage)
	}
}

func (f *runFlags) defineExperiment(fs *pflag.FlagSet) {
	fs.StringVarP(&f.experiment, "experiment", "E", "", "`NAME`: name or id of the experiment to add to; made if there is none (default: a new name)")
	fs.BoolVar(&f.again, "again", false, "run all trials anew, also those that the experiment has already")
	fs.StringVarP(&f.priority, "priority", "P", "low", "`LEVEL`: low or high; high goes first in its queue")
	fs.StringVarP(&f.user, "user", "u", "", "`NAME`: who runs this (default: your login name)")
	fs.StringVarP(&f.githubUser, "github-user", "G", "", "`NAME`: who runs this, on GitHub")
	fs.StringVar(&f.githubMeta, "github-meta", "", "`JSON`: an object about the pull request, kept with the task")
}

func (f *runFlags) defineOutput(fs *pflag.FlagSet) {
	fs.BoolVarP(&f.watch, "watch", "w", false, "wait and show progress until the trials have ended (the default without --json)")
	fs.BoolVar(&f.noWatch, "no-watch", false, "return when the trials are queued")
	fs.BoolVarP(&f.background, "background", "b", false, "the same as --no-watch")
	fs.BoolVar(&f.async, "async", false, "the same as --no-watch")
	fs.StringVar(&f.envFile, "env-file", "", "`FILE`: KEY=VALUE lines; the values of variables that the tasks read are taken from it, without asking, instead of from the worker")
	fs.BoolVarP(&f.yes, "yes", "y", false, "let tasks read the variables of the worker that they name, without asking")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, only the outcome")
	fs.BoolVar(&f.json, "json", false, "print one JSON document and return when the trials are queued; with --watch, wait and print the results")
	fs.StringArrayVar(&f.failOn, "fail-on", nil, "`CONDITION`: exit with status 7 on error (a trial failed or was cancelled) or reward<X (the mean reward is less, or there is none); repeatable, or with commas")
}

func (f *runFlags) defineServer(fs *pflag.FlagSet) {
	fs.StringVar(&f.api, "api", "", "`URL`: address of the server (default: ODDISH_API_URL, else http://localhost:8000)")
	fs.IntVar(&f.port, "port", 0, "`N`: port of the server on this machine")
	fs.Var(&f.nConcurrent, "n-concurrent", "`JSON`: trials at once by queue key or provider (openai/*), for a server that this command starts")
	fs.BoolVar(&f.fresh, "fresh", false, "restart the local server first")
}

// defineRefused takes flags that people know from elsewhere, to say what to do instead.
func (f *runFlags) defineRefused(fs *pflag.FlagSet) {
	fs.StringVar(&f.publish, "publish", "", "")
	fs.StringVar(&f.runAnalysis, "run-analysis", "", "")
	fs.Bool("no-publish", false, "")
	for _, name := range []string{"publish", "run-analysis"} {
		fs.Lookup(name).NoOptDefVal = "true"
	}
	for _, name := range []string{"publish", "run-analysis", "no-publish"} {
		fs.Lookup(name).Hidden = true
	}
}

// given reports whether a flag stands on the command line.
func (f *runFlags) given(name string) bool { return f.cmd.Flags().Changed(name) }

// waits reports whether the command waits for the trials.
func (f *runFlags) waits() bool {
	if f.json {
		return f.watch
	}
	return !f.noWatch && !f.background && !f.async
}

// check refuses flags that contradict one another.
func (f *runFlags) check() error {
	detached := f.noWatch || f.background || f.async
	switch {
	case f.publish != "":
		return usagef("--publish: %s", advicePublish)
	case f.runAnalysis != "":
		return usagef("--run-analysis: %s", adviceAnalysis)
	case f.watch && detached:
		return usagef("--watch contradicts --no-watch, --background and --async")
	case f.noVerify && f.verify:
		return usagef("--disable-verification contradicts --enable-verification")
	case f.forceBuild && f.noForce:
		return usagef("--force-build contradicts --no-force-build")
	case len(f.failOn) > 0 && !f.waits():
		return usagef("--fail-on looks at results, so the command must wait for them: %s", waitAdvice(f.json, detached))
	case f.task != "" && (f.path+f.dataset+f.repo != "" || len(f.include)+len(f.exclude) > 0 || f.given("n-tasks")):
		return usagef("--task names one uploaded task: leave out the path, the data set and the filters")
	case f.api != "" && f.port != 0:
		return usagef("--api and --port both say where the server is: give one")
	case f.replay != "" && f.baseURL != "":
		return usagef("--replay asks no model: leave out --base-url")
	case f.replay != "" && f.helperModel != "":
		return usagef("--replay resolves helper models as they were when it was recorded: leave out --helper-model")
	case f.baseURL != "" && !isHTTP(f.baseURL):
		return usagef("--base-url %q: want an address such as http://127.0.0.1:8080/v1", f.baseURL)
	case f.given("priority") && f.priority != "low" && f.priority != "high":
		return usagef("--priority %q: want low or high", f.priority)
	}
	if f.given("keep-on-failure") && (f.keep < time.Minute || f.keep > 7*24*time.Hour) {
		return usagef("--keep-on-failure %s: want 1m to 168h", f.keep)
	}
	for name, policy := range map[string]string{"--cpus": f.cpuPolicy, "--memory": f.memoryPolicy} {
		if policy != "" && !slices.Contains(enforcements, policy) {
			return usagef("%s %s: want one of %s (how many, say with --override-cpus and --override-memory-mb)", name, policy, strings.Join(enforcements, ", "))
		}
	}
	if err := checkHosts("--allow-environment-host", f.envHosts); err != nil {
		return err
	}
	if err := checkHosts("--allow-agent-host", f.agentHosts); err != nil {
		return err
	}
	return f.checkNumbers()
}

// checkHosts refuses what is no host of an allowlist.
func checkHosts(flag string, hosts []string) error {
	for _, h := range hosts {
		if _, err := task.NormalizeHost(h); err != nil {
			return usagef("%s: %v", flag, err)
		}
	}
	return nil
}

func isHTTP(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

func waitAdvice(json, detached bool) string {
	if json && !detached {
		return "add --watch"
	}
	return "remove --background, --async and --no-watch"
}

func (f *runFlags) checkNumbers() error {
	for _, n := range []struct {
		name  string
		value int
		least int
	}{
		{"n-trials", f.nTrials, 1},
		{"n-tasks", f.nTasks, 1},
		{"max-attempts", f.maxAttempts, 1},
		{"min-isolation", f.isolation, 0},
		{"override-cpus", f.cpus, 1},
		{"override-memory-mb", f.memoryMB, 1},
		{"override-storage-mb", f.storageMB, 1},
		{"override-gpus", f.gpus, 0},
		{"port", f.port, 1},
	} {
		if f.given(n.name) && n.value < n.least {
			return usagef("--%s %d: want %d or more", n.name, n.value, n.least)
		}
	}
	if f.port > 65535 {
		return usagef("--port %d: want 1 to 65535", f.port)
	}
	for i, m := range multiplierFlags {
		if f.given(m.name) && !(f.multipliers[i] > 0) {
			return usagef("--%s %v: want a number above 0", m.name, f.multipliers[i])
		}
	}
	return nil
}
