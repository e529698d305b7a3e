package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"oddish/client"
	"oddish/internal/config"
)

// Exit statuses, documented in docs/configuration.md and in the help of the commands.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitCondition   = 7 // a condition of --fail-on is true
	exitInterrupted = 130
)

// cliError is an error with everything that its report needs.
type cliError struct {
	code int
	kind string // a word for programs: usage, failed, unreachable, not_found, unauthorized, condition, interrupted
	msg  string // empty: everything has been said
	hint string
}

func (e *cliError) Error() string { return e.msg }

// usagef is a command line that cannot be carried out as it stands.
func usagef(format string, args ...any) error {
	return &cliError{code: exitUsage, kind: "usage", msg: fmt.Sprintf(format, args...)}
}

// refusedUsage makes a usage error, with advice, of a value that the server refused.
func refusedUsage(err error, hint string) error {
	if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Status == 422 {
		return &cliError{code: exitUsage, kind: "usage", msg: strings.TrimSpace(refused.Detail), hint: hint}
	}
	return err
}

// failf is a failure with advice.
func failf(hint, format string, args ...any) error {
	return &cliError{code: exitFailure, kind: "failed", msg: fmt.Sprintf(format, args...), hint: hint}
}

// flagError words the flag parser's errors.
func flagError(cmd *cobra.Command, err error) error {
	msg := err.Error()
	if rest, ok := strings.CutPrefix(msg, "invalid argument "); ok {
		// invalid argument "x" for "-l, --n-tasks" flag: strconv.ParseInt: parsing "x": invalid syntax
		if value, rest, ok := strings.Cut(rest, ` for "`); ok {
			name, why, _ := strings.Cut(rest, `" flag: `)
			for _, f := range []string{"strconv.ParseInt: ", "strconv.ParseFloat: ", "strconv.ParseBool: "} {
				why = strings.TrimPrefix(why, f)
			}
			msg = fmt.Sprintf("%s %s: %s", name, value, why)
		}
	}
	_ = cmd
	return usagef("%s", msg)
}

// report prints an error in the form that the command's output has, and returns the exit status.
func (a *App) report(cmd *cobra.Command, err error) int {
	e := describe(err)
	if e.msg == "" {
		return e.code
	}
	if jsonWanted(cmd) {
		enc := json.NewEncoder(a.Stderr)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(map[string]any{"error": map[string]any{"code": e.kind, "message": e.msg, "hint": e.hint}})
		return e.code
	}
	p := a.errPrinter()
	p.line(p.style(styleError).Render("error:") + " " + e.msg)
	if e.hint != "" {
		p.line(p.style(styleFaint).Render("hint: ") + e.hint)
	} else if e.code == exitUsage && cmd != nil {
		p.line(p.style(styleFaint).Render("usage: ") + cmd.CommandPath() + " --help")
	}
	return e.code
}

// describe finds out what an error means to the user.
func describe(err error) *cliError {
	var e *cliError
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return &cliError{code: exitInterrupted, kind: "interrupted", msg: "interrupted"}
	}
	if errors.Is(err, config.ErrNoDataDir) {
		return &cliError{code: exitUsage, kind: "usage", msg: err.Error()}
	}
	out := &cliError{code: exitFailure, kind: "failed", msg: err.Error()}
	switch status := client.StatusOf(err); {
	case client.Unreachable(err):
		out.kind = "unreachable"
	case status == 401 || status == 403:
		out.kind, out.hint = "unauthorized", "set ODDISH_API_KEY to a key of this server"
	case status == 404:
		out.kind = "not_found"
	}
	return out
}

// jsonWanted reports whether the command was asked for JSON.
func jsonWanted(cmd *cobra.Command) bool {
	if cmd == nil {
		return false
	}
	f := cmd.Flags().Lookup("json")
	return f != nil && f.Value.String() == "true"
}
