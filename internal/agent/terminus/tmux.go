package terminus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"oddish/internal/sandbox"
)

// ErrGone: there is no terminal any more.
var ErrGone = errors.New("the terminal is gone")

// Box runs short commands in the sandbox, as the agent's user in its environment.
type Box interface {
	Exec(ctx context.Context, cmd sandbox.Command) (int, error)
}

// Tmux is a terminal by the program tmux in the sandbox.
type Tmux struct {
	Box Box
	// Program is how tmux is called.
	Program       string
	Width, Height int
	// Log is the file in the sandbox that takes what the terminal prints; empty: none does.
	Log string
}

var _ Terminal = (*Tmux)(nil)

const (
	session = "terminus-2"
	// maxLine is up to how many bytes keys are typed; more are pasted, since tmux bounds its commands.
	maxLine = 8000
	// maxLines is how much of what has scrolled away is looked at.
	maxLines = 20_000
	// history is how many lines the terminal keeps, as in Harbor.
	history = 10_000_000
	// maxPane bounds the file with what the terminal prints, and paneBlock what is written of it at once, in bytes.
	maxPane, paneBlock = 64 << 20, 4096
	// callTimeout bounds one command of tmux.
	callTimeout = time.Minute
	// exitGone is how the scripts tell that there is no terminal.
	exitGone = 99
)

// tmux gives the call of the program with a server of its own, so that what the agent does with tmux is no harm, and without the user's settings.
func (t *Tmux) tmux() string { return t.Program + " -L " + session + " -f /dev/null" }

// Open starts the session. The limit of its history is set before its first window exists: later it is none for that one.
func (t *Tmux) Open(ctx context.Context, fresh bool) error {
	script := "T=" + sandbox.Quote(t.tmux()) + `
if [ -z "$FRESH" ] && $T has-session -t "$S" 2>/dev/null; then exit 0; fi
$T kill-server 2>/dev/null
SHELL_OF_PANE=$(command -v bash || command -v sh) || exit 1
case $SHELL_OF_PANE in *bash) SHELL_OF_PANE="$SHELL_OF_PANE --login";; esac
$T start-server \; set-option -g history-limit ` + strconv.Itoa(history) + ` \; set-option -g default-terminal xterm-256color \; new-session -x "$W" -y "$H" -d -s "$S" "$SHELL_OF_PANE" || exit 1
[ -z "$LOG" ] || $T pipe-pane -t "$S" "dd bs=` + strconv.Itoa(paneBlock) + ` count=` + strconv.Itoa(maxPane/paneBlock) + ` 2>/dev/null >>'$LOG'; cat >/dev/null"
`
	env := map[string]string{
		"S": session, "W": strconv.Itoa(t.Width), "H": strconv.Itoa(t.Height), "LOG": t.Log, "TERM": "xterm-256color", "LANG": "C.UTF-8",
	}
	if fresh {
		env["FRESH"] = "1"
	}
	_, err := t.call(ctx, "start", script, env, nil)
	return err
}

// Send types keys as one argument, in which tmux sees names of keys; a text that is too long for that is pasted.
func (t *Tmux) Send(ctx context.Context, keys string) error {
	if keys == "" {
		return nil
	}
	if len(keys) > maxLine {
		return t.paste(ctx, keys)
	}
	if text, cut := strings.CutSuffix(keys, ";"); cut { // at its end tmux takes it for the end of its command
		keys = text + `\;`
	}
	said, err := t.call(ctx, "type", t.exists()+`exec $T send-keys -t "$S" -- "$K"`, map[string]string{"S": session, "K": keys}, nil)
	if err != nil && strings.Contains(said, "too long") {
		return t.paste(ctx, keys)
	}
	return err
}

func (t *Tmux) exists() string {
	return "T=" + sandbox.Quote(t.tmux()) + "\n" + `$T has-session -t "$S" 2>/dev/null || exit ` + strconv.Itoa(exitGone) + "\n"
}

// paste brings a long text into the terminal by tmux's buffer.
func (t *Tmux) paste(ctx context.Context, keys string) error {
	script := t.exists() + `$T load-buffer -b oddish - && exec $T paste-buffer -d -b oddish -t "$S"`
	_, err := t.call(ctx, "paste", script, map[string]string{"S": session}, []byte(keys))
	return err
}

// Capture gives what the terminal shows.
func (t *Tmux) Capture(ctx context.Context) (Capture, error) {
	const mark = "\x1eoddish\x1e"
	script := t.exists() + `$T capture-pane -p -S -` + strconv.Itoa(maxLines) + ` -t "$S" && printf '%s' "$MARK" && exec $T capture-pane -p -t "$S"`
	said, err := t.call(ctx, "capture", script, map[string]string{"S": session, "MARK": mark, "LANG": "C.UTF-8"}, nil)
	if err != nil {
		return Capture{}, err
	}
	all, screen, found := strings.Cut(strings.ToValidUTF8(said, "\ufffd"), mark)
	if !found {
		return Capture{}, errors.New("capture the terminal: tmux gave half an answer")
	}
	return Capture{All: all, Screen: screen}, nil
}

// Close ends the session and what runs in its foreground.
func (t *Tmux) Close(ctx context.Context) error {
	_, err := t.call(ctx, "end", sandbox.Quote(t.Program)+" -L "+session+" kill-server 2>/dev/null; true", nil, nil)
	return err
}

// call runs a script and gives what it printed.
func (t *Tmux) call(ctx context.Context, what, script string, env map[string]string, stdin []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var out, problem bytes.Buffer
	cmd := sandbox.Command{Label: "terminal", Script: script, Env: env, Stdout: &out, Stderr: &problem}
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	code, err := t.Box.Exec(ctx, cmd)
	switch said := strings.TrimSpace(problem.String()); {
	case err != nil:
		return "", fmt.Errorf("%s at the terminal: %w", what, err)
	case code == exitGone, code != 0 && (strings.Contains(said, "no server running") || strings.Contains(said, "can't find")):
		return said, fmt.Errorf("%s at the terminal: %w", what, ErrGone)
	case code != 0:
		return said, fmt.Errorf("%s at the terminal: tmux ended with status %d: %s", what, code, said)
	}
	return out.String(), nil
}
