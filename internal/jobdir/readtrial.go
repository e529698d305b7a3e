package jobdir

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"oddish/api"
	"oddish/internal/result"
)

// errUnfinished means that a trial has no result to import.
var errUnfinished = errors.New("it has not ended: there is no " + result.ResultFile)

// readTrial reads a trial's folder as what is to be imported, without its files. notes name what of its configuration has no meaning here.
func (j *Job) readTrial(folder string) (in api.ImportTrial, notes []string, err error) {
	dir := filepath.Join(j.Dir, folder)
	doc, err := readObject(filepath.Join(dir, result.ResultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return in, nil, errUnfinished
	}
	if err != nil {
		return in, nil, err
	}
	normal(doc)
	config, notes := readConfig(doc)
	delete(doc, "config")
	var t result.Trial
	if err := recode(doc, &t); err != nil {
		return in, nil, fmt.Errorf("%s is not what a trial has: %w", result.ResultFile, err)
	}
	if t.FinishedAt == nil && t.VerifierResult == nil && t.FirstException() == nil {
		return in, nil, errUnfinished
	}
	in = api.ImportTrial{
		TaskName: taskOf(&t, config, folder), Attempts: 1, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt,
		Agent: cmp.Or(t.AgentInfo.Name, config.Agent.Name, "unknown"), Model: modelOf(t.AgentInfo, config.Agent),
	}
	if t.Source != nil {
		in.DataSet = *t.Source
	}
	if in.TaskName == "" {
		return in, nil, fmt.Errorf("neither %s nor the folder's name tells the task", result.ResultFile)
	}
	in.AgentConfig, in.Harbor = result.Submitted(config)
	j.lock(dir, &in, config)
	in.Finish = finishOf(dir, &t, config)
	j.more(folder, &in)
	return in, notes, nil
}

// taskOf names the task of a trial. Versions of Harbor that were told `-p .` knew no other name of it than what begins the trial's.
func taskOf(t *result.Trial, config result.TrialConfig, folder string) string {
	if t.TaskName != "" {
		return t.TaskName
	}
	if strings.Trim(config.Task.Path, "./") != "" {
		return config.Task.Path
	}
	trial := cmp.Or(t.TrialName, folder)
	return trial[:max(strings.LastIndex(trial, "__"), 0)]
}

func recode(doc map[string]any, into any) error {
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// readConfig reads the configuration in a trial's result. One that cannot be read leaves the trial without, and a note.
func readConfig(doc map[string]any) (result.TrialConfig, []string) {
	var config result.TrialConfig
	raw, ok := doc["config"].(map[string]any)
	if !ok {
		return config, nil
	}
	if err := recode(raw, &config); err != nil {
		return result.TrialConfig{}, []string{fmt.Sprintf("its configuration (%v)", err)}
	}
	return config, foreign(raw)
}

// foreign names what is set in a configuration and has no meaning here.
func foreign(config map[string]any) []string {
	var notes []string
	for _, key := range []string{
		"install_only", "user_agent", "source_trial", "agent.import_path", "agent.mcp_servers", "agent.skills", "agent.resume_trajectory",
		"agent.load_trajectory", "agent.include_logs", "agent.exclude_logs", "environment.mounts", "environment.mounts_json",
		"environment.extra_docker_compose", "environment.override_tpu", "verifier.import_path", "verifier.kwargs",
	} {
		part, name, nested := strings.Cut(key, ".")
		value := config[part]
		if nested {
			below, _ := value.(map[string]any)
			value = below[name]
		}
		if set(value) {
			notes = append(notes, key)
		}
	}
	return notes
}

// set reports whether a value is more than a default.
func set(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}

func modelOf(info result.AgentInfo, config result.AgentConfig) string {
	if config.ModelName != nil {
		return *config.ModelName
	}
	m := info.ModelInfo
	switch {
	case m == nil:
		return ""
	case m.Provider == nil || *m.Provider == "" || *m.Provider == "unknown":
		return m.Name
	}
	return *m.Provider + "/" + m.Name
}

// lock adds what the trial's lock.json tells: the task's content, and a sandbox that Harbor lacks, see known.
func (j *Job) lock(dir string, in *api.ImportTrial, config result.TrialConfig) {
	in.Environment = kindOf(config.Environment)
	doc, err := readObject(filepath.Join(dir, result.LockFile))
	if err != nil {
		return // older versions write none
	}
	var lock struct {
		Task struct {
			Digest string `json:"digest"`
		} `json:"task"`
		Environment struct {
			Type       *string `json:"type"`
			ImportPath *string `json:"import_path"`
		} `json:"environment"`
	}
	if recode(doc, &lock) != nil {
		return
	}
	if hex, ok := strings.CutPrefix(lock.Task.Digest, "sha256:"); ok && isDigest(hex) {
		in.TaskDigest = hex
	}
	if lock.Environment.Type != nil || lock.Environment.ImportPath != nil {
		in.Environment = kindOf(result.EnvironmentConfig{Type: lock.Environment.Type, ImportPath: lock.Environment.ImportPath})
	}
}

func isDigest(hex string) bool {
	return len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// kindOf is the kind of a sandbox; Harbor's default is docker.
func kindOf(e result.EnvironmentConfig) string {
	switch {
	case e.ImportPath != nil && *e.ImportPath != "":
		return strings.TrimPrefix(*e.ImportPath, "oddish:")
	case e.Type != nil && *e.Type != "":
		return *e.Type
	}
	return "docker"
}

// finishOf says what came of a trial. Like here, one that has no rewards where it should have some has failed, and so has one that met
// trouble which is not its own.
func finishOf(dir string, t *result.Trial, config result.TrialConfig) api.Finish {
	f := api.Finish{Outcome: api.StatusSuccess, Phases: t.Phases(), HasTrajectory: result.HasTrajectory(dir), Isolation: t.Isolation}
	if t.VerifierResult != nil {
		f.Rewards = t.VerifierResult.Rewards
	}
	setUsage(&f, t.AgentUsage())
	e := t.FirstException()
	if e == nil {
		return f
	}
	f.ErrorType, f.ErrorMessage, f.ErrorClass = e.Type, result.ClipMessage(e.Message), result.ClassOf(e.Type)
	switch {
	case e.Type == result.CancelledError:
		f.Outcome, f.ErrorClass = api.StatusCancelled, ""
	case f.ErrorClass != api.ClassResult, f.Rewards == nil && !config.Verifier.Disable:
		f.Outcome = api.StatusFailed
	}
	return f
}

// more adds what only the mark of a pulled experiment tells.
func (j *Job) more(folder string, in *api.ImportTrial) {
	if j.Mark == nil {
		return
	}
	i := slices.IndexFunc(j.Mark.Trials, func(t MarkedTrial) bool { return t.Folder == folder })
	if i < 0 {
		return
	}
	t := j.Mark.Trials[i]
	if t.Attempts == 0 {
		return // of a version that did not tell
	}
	in.Attempts, in.StartedAt, in.FinishedAt, in.Finish.Outcome = t.Attempts, t.StartedAt, t.FinishedAt, t.Status
	if t.Usage != nil {
		setUsage(&in.Finish, *t.Usage)
	}
}

func setUsage(f *api.Finish, u api.Usage) {
	f.InputTokens, f.CacheTokens, f.OutputTokens, f.CostUSD, f.UsageDetails = u.InputTokens, u.CacheTokens, u.OutputTokens, u.CostUSD, u.UsageDetails
}
