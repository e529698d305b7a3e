package imagebuild

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// configure carries out an instruction that changes what the image says of itself and no file.
func (s *stage) configure(c instructions.Command) error {
	config := &s.config
	switch c := c.(type) {
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			s.setEnv(kv.Key, kv.Value)
		}
	case *instructions.LabelCommand:
		if config.Labels == nil {
			config.Labels = map[string]string{}
		}
		for _, kv := range c.Labels {
			config.Labels[kv.Key] = kv.Value
		}
	case *instructions.UserCommand:
		config.User = c.User
	case *instructions.ShellCommand:
		config.Shell = c.Shell
	case *instructions.EntrypointCommand:
		config.Entrypoint = s.words(c.ShellDependantCmdLine)
		config.Cmd = nil
	case *instructions.CmdCommand:
		config.Cmd = s.words(c.ShellDependantCmdLine)
	case *instructions.HealthCheckCommand:
		h := c.Health
		config.Healthcheck = &v1.HealthConfig{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
	case *instructions.StopSignalCommand:
		config.StopSignal = c.Signal
	case *instructions.ExposeCommand:
		return s.expose(c.Ports)
	case *instructions.VolumeCommand:
		if config.Volumes == nil {
			config.Volumes = map[string]struct{}{}
		}
		for _, v := range c.Volumes {
			config.Volumes[v] = struct{}{}
		}
	case *instructions.OnbuildCommand:
		config.OnBuild = append(config.OnBuild, c.Expression)
	case *instructions.MaintainerCommand:
		// It was a label before there were labels, and nothing reads it.
	default:
		return fmt.Errorf("%s is not supported by builds without docker (--env docker has it)", c.Name())
	}
	return nil
}

// setEnv sets a variable for the image and the instructions that follow.
func (s *stage) setEnv(key, value string) {
	s.vars.env[key] = value
	entry := key + "=" + value
	// A copy: the base's configuration may share the list.
	env := slices.Clone(s.config.Env)
	at := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
	if at < 0 {
		env = append(env, entry)
	} else {
		env[at] = entry
	}
	s.config.Env = env
}

func (s *stage) expose(ports []string) error {
	if s.config.ExposedPorts == nil {
		s.config.ExposedPorts = map[string]struct{}{}
	}
	for _, port := range ports {
		word, err := s.vars.expand(port)
		if err != nil {
			return err
		}
		if !strings.Contains(word, "/") {
			word += "/tcp"
		}
		s.config.ExposedPorts[word] = struct{}{}
	}
	return nil
}

// words are a command line as it is run, in the shell where it is written so.
func (s *stage) words(c instructions.ShellDependantCmdLine) []string {
	if !c.PrependShell {
		return c.CmdLine
	}
	shell := s.config.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), strings.Join(c.CmdLine, " "))
}
