package server

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"oddish/internal/result"
)

// structuredLogs is the logs of an attempt sorted by who wrote them.
type structuredLogs struct {
	TrialID   string       `json:"trial_id"`
	Agent     agentLogs    `json:"agent"`
	Verifier  verifierLogs `json:"verifier"`
	Other     []namedLog   `json:"other"`
	Exception *string      `json:"exception"`
}

type agentLogs struct {
	Oracle   *string    `json:"oracle"`
	Setup    *string    `json:"setup"`
	Commands []namedLog `json:"commands"`
}

type verifierLogs struct {
	Stdout *string `json:"stdout"`
	Stderr *string `json:"stderr"`
}

type namedLog struct {
	Name    string `json:"name"`
	Content string `json:"content"`
}

type structuredOutput struct{ Body structuredLogs }

func (s *Server) structuredLogs(ctx context.Context, in *AttemptInput) (*structuredOutput, error) {
	dir, err := s.trialDir(ctx, in.ID, in.Attempt)
	if err != nil {
		return nil, s.fail(ctx, "Trial "+in.ID, err)
	}
	out := structuredLogs{TrialID: in.ID, Agent: agentLogs{Commands: []namedLog{}}, Other: []namedLog{}}
	if err := s.readLogs(ctx, dir, func(f trialFile, text string) { out.add(f.path, text) }); err != nil {
		return nil, s.fail(ctx, "logs of trial "+in.ID, err)
	}
	slices.SortStableFunc(out.Agent.Commands, func(a, b namedLog) int { return commandNumber(a.Name) - commandNumber(b.Name) })
	return &structuredOutput{Body: out}, nil
}

// add puts a log in its place. Those of steps are told by their paths, since each step has all of them.
func (l *structuredLogs) add(p, text string) {
	folder := path.Base(path.Dir(p))
	switch base := path.Base(p); {
	case strings.HasPrefix(p, result.StepsDir+"/"):
		l.Other = append(l.Other, namedLog{Name: p, Content: text})
	case base == "oracle.txt":
		l.Agent.Oracle = &text
	case base == "stdout.txt" && folder == "setup":
		l.Agent.Setup = &text
	case base == "stdout.txt" && commandNumber(folder) >= 0:
		l.Agent.Commands = append(l.Agent.Commands, namedLog{Name: folder, Content: text})
	case base == "test-stdout.txt":
		l.Verifier.Stdout = &text
	case base == "test-stderr.txt":
		l.Verifier.Stderr = &text
	case base == "exception.txt":
		l.Exception = &text
	default:
		l.Other = append(l.Other, namedLog{Name: p, Content: text})
	}
}

// commandNumber gives N of "command-N", -1 for other names.
func commandNumber(folder string) int {
	digits, ok := strings.CutPrefix(folder, "command-")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 {
		return -1
	}
	return n
}
