package cli

import (
	"fmt"
	"time"

	"oddish/api"
)

// newView chooses how progress is shown: live on a terminal, a line for each change elsewhere, not at all when quiet.
func (a *App) newView(o watchOptions) view {
	switch {
	case o.quiet:
		return quietView{}
	case a.isTerminal(a.Stderr):
		return newLiveView(a, o)
	}
	return &plainView{p: a.errPrinter(), started: o.started}
}

// quietView shows nothing.
type quietView struct{}

func (quietView) change(*boardRow, frame)   {}
func (quietView) draw(frame)                {}
func (quietView) stop()                     {}
func (quietView) detached() <-chan struct{} { return nil }

// plainView writes a line for each change, and one when the connection is lost or found again.
type plainView struct {
	p       printer
	started time.Time
	lost    bool
}

func (v *plainView) change(r *boardRow, f frame) {
	if line := changeLine(r, f); line != "" {
		v.write(line)
	}
}

func (v *plainView) draw(f frame) {
	if f.lost == v.lost {
		return
	}
	v.lost = f.lost
	if f.lost {
		v.write("connection lost, trying again")
	} else {
		v.write("connected again")
	}
}

func (v *plainView) stop()                     {}
func (v *plainView) detached() <-chan struct{} { return nil }

func (v *plainView) write(s string) {
	v.p.line(fmt.Sprintf("%8s  %s", formatSeconds(time.Since(v.started).Seconds()), s))
}

// changeLine says what an event changed; empty where it is not worth a line.
func changeLine(r *boardRow, f frame) string {
	name := r.name + "  " + r.agent
	if m := modelCell(r.model); m != nothing {
		name += "  " + m
	}
	glyph, style := statusLook(r.status, r.reward)
	word := styleOf(style).Render(glyph + " " + string(r.status))
	switch r.status {
	case api.StatusQueued:
		return ""
	case api.StatusRunning:
		if r.stage == "" || r.stage == api.StageStarting || r.stage == api.StageTrialStarted || r.stage == api.StageCompleted {
			return ""
		}
		return name + "  " + stageWords(r.stage) + attemptWords(r.attempt)
	case api.StatusRetrying:
		return name + "  " + word + " after " + r.errorType
	}
	line := name + "  " + word
	if r.reward != nil {
		line += "  reward " + formatReward(*r.reward)
	}
	if r.errorType != "" {
		line += "  " + r.errorType
	}
	return line + fmt.Sprintf("  (%d/%d)", f.ended, f.total)
}

func attemptWords(n int) string {
	if n > 1 {
		return fmt.Sprintf(" (attempt %d)", n)
	}
	return ""
}

// stageWords are the stages as people say them.
func stageWords(s api.Stage) string {
	switch s {
	case api.StageStarting, api.StageTrialStarted, "":
		return "starting"
	case api.StageEnvironment:
		return "starting sandbox"
	case api.StageAgentRunning:
		return "agent running"
	case api.StageVerification:
		return "verifying"
	case api.StageCompleted:
		return "finishing"
	}
	return string(s)
}
