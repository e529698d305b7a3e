package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// maxServerLog is the size at which server.log is put aside before a start, in bytes.
const maxServerLog = 8 << 20

// rotateLog puts a large log aside and returns the size of what remains.
func rotateLog(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if info.Size() < maxServerLog {
		return info.Size(), nil
	}
	return 0, os.Rename(path, path+".old")
}

// spawnServer starts the process. The channel is closed when it ends.
func (a *App) spawnServer(c connection, dir, logPath string, o ensureOptions) (<-chan struct{}, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, dataDirError(dir, err)
	}
	defer log.Close()
	args := []string{"api", "--host", c.endpoint.host, "--port", strconv.Itoa(c.endpoint.port)}
	if len(o.nConcurrent) > 0 {
		limits, err := json.Marshal(o.nConcurrent)
		if err != nil {
			return nil, err
		}
		args = append(args, "--n-concurrent", string(limits))
	}
	cmd := exec.Command(a.Exe, args...)
	cmd.Args[0] = "oddish" // wherever it lies, that is how it shows in a list of processes
	cmd.Env = serverEnv(c.cfg.Env, dir, c.endpoint.url)
	cmd.Dir = dir // not the user's folder, which may go away
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what went wrong is in its log
		close(exited)
	}()
	return exited, nil
}

// serverEnv is the environment with what .env added, and with the data directory and address made absolute, since the server works
// in another folder.
func serverEnv(vars map[string]string, dir, url string) []string {
	env := make([]string, 0, len(vars)+3)
	for k, v := range vars {
		switch k {
		case "ODDISH_DATA_DIR", "ODDISH_API_URL", "ODDISH_API_HOST", "ODDISH_API_PORT", "PWD":
		default:
			env = append(env, k+"="+v)
		}
	}
	sort.Strings(env)
	env = append(env, "ODDISH_DATA_DIR="+dir, "ODDISH_API_URL="+url)
	if vars["ODDISH_LOG_FORMAT"] == "" {
		env = append(env, "ODDISH_LOG_FORMAT=text")
	}
	return env
}

// lastLines returns the last n lines that were written to a file after an offset.
func lastLines(path string, from int64, n int) []string {
	data, err := os.ReadFile(path)
	if err != nil || int64(len(data)) <= from {
		return nil
	}
	text := strings.TrimSpace(string(bytes.ToValidUTF8(data[from:], nil)))
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}
