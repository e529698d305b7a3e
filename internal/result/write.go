package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Names inside a trial directory.
const (
	ConfigFile       = "config.json"
	ResultFile       = "result.json"
	LockFile         = "lock.json"
	LogFile          = "trial.log"
	ExceptionFile    = "exception.txt"
	BuildLogFile     = "build.log"              // what the build of an image said, if one was built
	ServicesDir      = "services"               // a log for each service of a compose task that said something
	NetworkFile      = "network.jsonl"          // a line for each connection that was tried
	ModelLogFile     = "model-requests.jsonl"   // a line for each request that the agent made of its model
	EnteredFile      = "entered.jsonl"          // a line for each time that somebody worked in the sandbox of the running trial
	DivergenceFile   = "replay-divergence.json" // where a replay left its recording
	AgentDir         = "agent"
	VerifierDir      = "verifier"
	ArtifactsDir     = "artifacts"
	StepsDir         = "steps"         // a folder with agent/, verifier/ and artifacts/ for each step
	ManifestFile     = "manifest.json" // in ArtifactsDir
	TestOutputFile   = "test-stdout.txt"
	OracleOutputFile = "oracle.txt"
	ExitCodeFile     = "exit-code.txt"   // in AgentDir
	TrajectoryFile   = "trajectory.json" // in AgentDir
)

// WriteJSON writes v as JSON indented by four, as WriteFile does.
func WriteJSON(path string, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return WriteFile(path, bytes.TrimRight(b.Bytes(), "\n"))
}

// WriteFile replaces a file at once and durably: a reader sees the old content or the
// new, also after a crash. Other temporary files in the folder are left alone.
func WriteFile(path string, data []byte) (err error) {
	dir, base := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+base+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	if dir == "" {
		dir = "."
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ReadTrial reads result.json of a trial directory.
func ReadTrial(dir string) (Trial, error) {
	data, err := os.ReadFile(filepath.Join(dir, ResultFile))
	if err != nil {
		return Trial{}, err
	}
	var t Trial
	if err := json.Unmarshal(data, &t); err != nil {
		return Trial{}, fmt.Errorf("read %s: %w", filepath.Join(dir, ResultFile), err)
	}
	return t, nil
}
