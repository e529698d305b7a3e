package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/term"
)

// printer writes styled text to a stream, and drops the styles that the stream cannot show.
type printer struct {
	w     io.Writer
	width int // columns to fit in; 0: any
}

// styleName is one of a few meanings that have a colour. Only the terminal's own sixteen colours are used, so that
// they suit its background.
type styleName int

const (
	stylePlain styleName = iota
	styleFaint
	styleBold
	styleGood
	styleError
	styleWarn
	styleActive
)

func (p printer) style(n styleName) lipgloss.Style { return styleOf(n) }

func styleOf(n styleName) lipgloss.Style {
	s := lipgloss.NewStyle()
	switch n {
	case styleFaint:
		return s.Faint(true)
	case styleBold:
		return s.Bold(true)
	case styleGood:
		return s.Foreground(lipgloss.Green)
	case styleError:
		return s.Foreground(lipgloss.Red)
	case styleWarn:
		return s.Foreground(lipgloss.Yellow)
	case styleActive:
		return s.Foreground(lipgloss.Blue)
	}
	return s
}

func (p printer) line(s string) { fmt.Fprintln(p.w, s) }

func (a *App) outPrinter() printer { return a.printer(a.Stdout) }
func (a *App) errPrinter() printer { return a.printer(a.Stderr) }

func (a *App) printer(w io.Writer) printer {
	return printer{w: &colorprofile.Writer{Forward: w, Profile: a.profile(w)}, width: a.width(w)}
}

// profile is what a stream can show. Any NO_COLOR takes the colours away, whatever else is set.
func (a *App) profile(w io.Writer) colorprofile.Profile {
	p := colorprofile.Detect(w, a.Env)
	if a.getenv("NO_COLOR") != "" {
		p = min(p, colorprofile.Ascii)
	}
	return p
}

// width is the number of columns of a terminal; 0 for other streams, which are not cut, unless COLUMNS says
// otherwise.
func (a *App) width(w io.Writer) int {
	if n, err := strconv.Atoi(a.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := w.(term.File); ok && term.IsTerminal(f.Fd()) {
		if n, _, err := term.GetSize(f.Fd()); err == nil {
			return n
		}
	}
	return 0
}

// isTerminal reports whether a stream is a terminal that can move its cursor.
func (a *App) isTerminal(s any) bool {
	f, ok := s.(term.File)
	return ok && term.IsTerminal(f.Fd()) && a.getenv("TERM") != "dumb"
}

// note tells on standard error what is being done.
func (a *App) note(format string, args ...any) {
	p := a.errPrinter()
	p.line(fmt.Sprintf(format, args...))
}

func (a *App) warn(format string, args ...any) {
	p := a.errPrinter()
	p.line(p.style(styleWarn).Render("warning:") + " " + fmt.Sprintf(format, args...))
}

// printJSON writes the one document of a command with --json.
func (a *App) printJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// confirm asks a question whose answer is no unless it is yes. Without a terminal to ask on it
// is an error that names the flag to give instead.
func (a *App) confirm(question, flag string) (bool, error) {
	if !a.isTerminal(a.Stdin) {
		return false, usagef("%s There is no terminal to ask on: give %s", question, flag)
	}
	fmt.Fprintf(a.Stderr, "%s [y/N] ", question)
	var answer []byte
	buf := make([]byte, 1)
	for {
		n, err := a.Stdin.Read(buf)
		if n == 0 || err != nil || buf[0] == '\n' {
			break
		}
		answer = append(answer, buf[0])
	}
	switch strings.ToLower(strings.TrimSpace(string(answer))) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// plural gives "1 task" or "3 tasks".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
