package terminus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"oddish/internal/result"
)

// maxRestarts is how often a terminal whose shell has ended is replaced by a new one in one run.
const maxRestarts = 3

// maxPoor is after how many answers in a row that cannot be understood the run is given up.
const maxPoor = 20

// loop is one run under way.
type loop struct {
	Config
	parser parser
	state  *state
	poor   int // answers in a row that could not be understood
}

// Run works on the instruction until the model says twice that the task is complete, or the turns or the time are used up. It is
// one of the errors that package result names: AgentTimeoutError at the timeout, and what the model's error means.
func Run(ctx context.Context, c Config) error {
	l, err := newLoop(c)
	if err != nil {
		return result.Errorf(result.OSError, "%w", err)
	}
	if l.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, l.state.Started.Add(l.Timeout), errTime)
		defer cancel()
	}
	err = l.run(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errTime) {
		l.end(ctx)
		return result.Errorf(result.AgentTimeoutError, "the agent did not finish within %s", l.Timeout)
	}
	return err
}

// errTime is the cause of the end of a run whose time is over.
var errTime = errors.New("the agent's time is over")

func newLoop(c Config) (*loop, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	if c.Options.MaxTurns == 0 {
		c.Options.MaxTurns = defaultTurns
	}
	if c.Options.Reserve == 0 {
		c.Options.Reserve = defaultReserve
	}
	if c.ContextTokens == 0 {
		c.ContextTokens = defaultContext
	}
	l := &loop{Config: c, parser: newParser(c.Options.XML)}
	var err error
	if l.state, err = load(c.Snapshot); err != nil {
		return nil, err
	}
	if l.state == nil {
		l.state = &state{Version: stateVersion, Started: c.Now()}
		return l, nil
	}
	l.Log.Info("agent goes on where a former process was", "episode", l.state.Episode, "phase", l.state.Phase)
	l.takeUp()
	return l, nil
}

// takeUp makes a state that a process left in the midst of something one to go on from: what may have been typed is not typed again.
func (l *loop) takeUp() {
	s := l.state
	if s.Phase == phaseSend && s.Sent > 0 {
		s.Phase, s.Resumed = phaseObserve, true
	}
}

// run goes from step to step. Each writes the state down before it does something that cannot be done twice.
func (l *loop) run(ctx context.Context) error {
	for l.state.Phase != phaseDone {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.step(ctx); err != nil {
			return err
		}
		if err := l.save(); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) save() error {
	l.state.Record.Episodes = l.state.Episode
	if err := l.state.save(l.Snapshot); err != nil {
		return result.Errorf(result.OSError, "%w", err)
	}
	return nil
}

func (l *loop) step(ctx context.Context) error {
	switch l.state.Phase {
	case phaseOpen:
		return l.open(ctx)
	case phaseAsk:
		return l.ask(ctx)
	case phaseSend:
		return l.send(ctx)
	case phaseObserve:
		return l.observe(ctx)
	}
	return fmt.Errorf("the agent's state has the unknown phase %q", l.state.Phase)
}

// open shows the model the task and the terminal.
func (l *loop) open(ctx context.Context) error {
	if err := l.Terminal.Open(ctx, false); err != nil {
		return err
	}
	now, err := l.Terminal.Capture(ctx)
	if err != nil {
		return err
	}
	l.state.Anchor = anchor(now.All)
	l.state.Next = firstPrompt(l.parser, l.Instruction, observe("", now))
	l.told(l.state.Next)
	l.state.Phase = phaseAsk
	return nil
}

// ask gets the next answer and decides what becomes of it.
func (l *loop) ask(ctx context.Context) error {
	s := l.state
	if s.Episode >= l.Options.MaxTurns {
		l.Log.Info("agent has used its turns up", "turns", s.Episode)
		s.Phase = phaseDone
		return nil
	}
	answer, err := l.converse(ctx)
	if err != nil {
		return err
	}
	s.Episode++
	text := answer.Text
	if answer.Cut {
		whole, can := l.parser.salvage(text)
		if !can {
			l.note(answer, nil)
			s.Next = cutPrompt(l.parser)
			return l.poorly("its answers reach the limit of its output")
		}
		text = whole
	}
	reply, err := l.parser.parse(text)
	if err != nil {
		l.note(answer, nil)
		s.Next = mendPrompt(l.parser, err, reply.Warnings)
		return l.poorly("its answers cannot be understood: " + err.Error())
	}
	l.poor = 0
	l.note(answer, &reply)
	s.Reply, s.Sent, s.Phase = &reply, 0, phaseSend
	return nil
}

// poorly tells the model what was wrong, but not for ever.
func (l *loop) poorly(why string) error {
	l.told(l.state.Next)
	l.wrote()
	if l.poor++; l.poor >= maxPoor {
		return result.Errorf(result.NonZeroAgentExitCodeError, "the model was told %d times in a row that %s", l.poor, why)
	}
	return nil
}

// send types the commands. The count is written down before each: a command is typed once, or, if the process dies at
// that very moment, not at all.
func (l *loop) send(ctx context.Context) error {
	s := l.state
	for s.Sent < len(s.Reply.Commands) {
		c := s.Reply.Commands[s.Sent]
		s.Sent++
		if err := l.save(); err != nil {
			return err
		}
		began := l.Now()
		err := l.Terminal.Send(ctx, c.Keys)
		if errors.Is(err, ErrGone) {
			break // the rest was meant for a shell that is not there
		}
		if err != nil {
			return err
		}
		if err := l.Sleep(ctx, c.Duration-l.Now().Sub(began)); err != nil {
			return err
		}
	}
	s.Phase = phaseObserve
	return nil
}

// observe shows the model what came of its commands.
func (l *loop) observe(ctx context.Context) error {
	s := l.state
	now, notes, err := l.look(ctx)
	if err != nil {
		return err
	}
	text := strings.Join(notes, "")
	if len(s.Reply.Warnings) > 0 {
		text += "Previous response had warnings:\n- " + strings.Join(s.Reply.Warnings, "\n- ") + "\n\n"
	}
	text += observe(s.Anchor, now)
	if continues(now.Screen) {
		text += "\n\n" + continuationNote
	}
	s.Anchor = anchor(now.All)
	l.observed(text)
	if s.Reply.Complete && s.Sure {
		s.Phase = phaseDone
		l.wrote()
		return nil
	}
	if s.Sure = s.Reply.Complete; s.Sure {
		text += "\n\n" + surePrompt
	}
	s.Next, s.Reply, s.Phase = text, nil, phaseAsk
	l.wrote()
	return nil
}

// look captures the terminal, or a new one if its shell has ended.
func (l *loop) look(ctx context.Context) (now Capture, notes []string, err error) {
	s := l.state
	if s.Resumed {
		s.Resumed = false
		notes = append(notes, resumeNote+"\n\n")
	}
	now, err = l.Terminal.Capture(ctx)
	if !errors.Is(err, ErrGone) {
		return now, notes, err
	}
	if s.Restarts++; s.Restarts > maxRestarts {
		return now, nil, result.Errorf(result.NonZeroAgentExitCodeError, "the agent ended the shell of its terminal %d times", s.Restarts)
	}
	l.Log.Warn("shell of the agent's terminal has ended", "times", s.Restarts)
	if err := l.Terminal.Open(ctx, true); err != nil {
		return now, nil, err
	}
	s.Anchor = ""
	now, err = l.Terminal.Capture(ctx)
	return now, append(notes, restartNote+"\n\n"), err
}

// end stops what runs in the foreground of the terminal when the time is over.
func (l *loop) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := l.Terminal.Close(ctx); err != nil {
		l.Log.Warn("agent's terminal could not be closed", "error", err)
	}
}

// sleep waits, or returns at once when there is nothing to wait for.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
