package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
)

// oracle runs the task's reference solution.
type oracle struct{}

var _ Agent = oracle{}

func newOracle(o Options) (Agent, error) {
	return oracle{}, refuseKwargs("oracle", o.Kwargs)
}

func (oracle) Name() string                     { return "oracle" }
func (oracle) Version() string                  { return "1.0.0" }
func (oracle) Setup(context.Context, Env) error { return nil }

// Run uploads the solution and runs its script. A non-zero exit status is written to
// exit-code.txt and otherwise ignored, as Harbor does: the verifier judges what was done.
func (oracle) Run(ctx context.Context, env Env, _ string) error {
	script := path.Join(SolutionDir, env.SolutionScript)
	_, err := os.Stat(filepath.Join(env.Solution, env.SolutionScript))
	if errors.Is(err, fs.ErrNotExist) {
		return result.Errorf(result.FileNotFoundError, "the task has no solution/%s, which the oracle runs", env.SolutionScript)
	}
	if err != nil {
		return result.Errorf(result.OSError, "look for the solution: %w", err)
	}
	if env.Begun == nil || !env.Begun(agentProcess) {
		err := UploadDir(ctx, env.Box, env.Solution, SolutionDir, tarball.PackOptions{Executable: env.SolutionScript})
		if err != nil {
			return fmt.Errorf("upload the solution: %w", err)
		}
	}
	exit, err := env.Run(ctx, oracleProcess(env, script))
	if err != nil {
		return err
	}
	env.Log.Info("solution ran", "exit_code", exit.Code, "output_truncated", exit.Truncated)
	if exit.Code == 0 {
		return nil
	}
	file := filepath.Join(env.Dir, result.ExitCodeFile)
	if err := os.WriteFile(file, []byte(strconv.Itoa(exit.Code)), 0o644); err != nil {
		return result.Errorf(result.OSError, "keep the solution's exit status: %w", err)
	}
	return nil
}

func oracleProcess(env Env, script string) sandbox.Process {
	vars := map[string]string{"DEBIAN_FRONTEND": "noninteractive"}
	maps.Copy(vars, env.SolutionVars)
	p := sandbox.Process{
		Command: sandbox.Command{Label: "agent", Script: script, Env: vars},
		Name:    agentProcess,
		Output:  path.Join(LogsDir, result.OracleOutputFile),
	}
	if env.Live != nil {
		p.Live = env.Live(result.OracleOutputFile)
	}
	return p
}

// UploadDir copies the content of a folder of this machine, as far as o includes it, into the sandbox's folder dst.
func UploadDir(ctx context.Context, box Box, dir, dst string, o tarball.PackOptions) error {
	r, w := io.Pipe()
	defer r.Close()
	packed := make(chan error, 1)
	go func() {
		err := tarball.Pack(w, dir, o)
		w.CloseWithError(err)
		packed <- err
	}()
	err := box.Upload(ctx, dst, r)
	r.CloseWithError(io.ErrClosedPipe) // ends Pack if Upload did not read on
	if e := <-packed; e != nil && !errors.Is(e, io.ErrClosedPipe) {
		return e
	}
	return err
}
