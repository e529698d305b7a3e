package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"oddish/client"
)

// server is a process of the program.
type server struct {
	cmd *exec.Cmd
	url string
	log string
}

// startServer starts the program on the filled database, without a worker inside and with limits that do not hold workers up.
func startServer(ctx context.Context, o options) (*server, error) {
	program := o.oddish
	if program == "" {
		program = filepath.Join(o.dir, "oddish")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/oddish")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the program: %w\n%s", err, out)
		}
	}
	log, err := os.Create(filepath.Join(o.dir, "server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(program, "api", "--no-worker", "--port", strconv.Itoa(port)), url: "http://127.0.0.1:" + strconv.Itoa(port), log: log.Name()}
	s.cmd.Env = append(os.Environ(), "ODDISH_DATA_DIR="+filepath.Join(o.dir, "data"), "DATABASE_URL="+o.database, "ODDISH_DATABASE_URL=",
		"ODDISH_API_KEY=", "ODDISH_API_HOST=", "ODDISH_API_URL=", "ODDISH_DEFAULT_MODEL_CONCURRENCY=100000")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	if err := s.wait(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// wait returns once the server answers.
func (s *server) wait(ctx context.Context) error {
	c := client.New(s.url, client.Options{RetryFor: -1})
	var err error
	for range 200 {
		if _, err = c.Health(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	text, _ := os.ReadFile(s.log)
	return fmt.Errorf("the server does not answer: %w\n%s", err, text)
}

// stop ends the server and waits for it.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	killer := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer killer.Stop()
	_ = s.cmd.Wait()
}

// cpu is the processor time that the server has used.
func (s *server) cpu() time.Duration { return cpuOf(s.cmd.Process.Pid) }

func cpuOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name before may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // of Linux
	return time.Duration(user+system) * tick
}

// peakMB is the most memory that the server ever had resident.
func (s *server) peakMB() int { return s.statusMB("VmHWM:") }

// residentMB is what it has now.
func (s *server) residentMB() int { return s.statusMB("VmRSS:") }

func (s *server) statusMB(name string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kb / 1024
		}
	}
	return 0
}
