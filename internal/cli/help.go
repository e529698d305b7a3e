package cli

import (
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groupAnnotation names the part of the help that a flag stands in.
const groupAnnotation = "oddish_group"

// inGroup puts the flags that f defines in a part of the help of their own.
func inGroup(fs *pflag.FlagSet, title string, f func(*pflag.FlagSet)) {
	sub := pflag.NewFlagSet(title, pflag.ContinueOnError)
	sub.SortFlags = false
	f(sub)
	sub.VisitAll(func(fl *pflag.Flag) {
		if fl.Annotations == nil {
			fl.Annotations = map[string][]string{}
		}
		fl.Annotations[groupAnnotation] = []string{title}
		fs.AddFlag(fl)
	})
}

// helpWidth is where help is wrapped: at the terminal's width, but not so wide that it is hard to read.
func (a *App) helpWidth() int {
	if w := a.width(a.Stdout); w > 0 {
		return max(40, min(w, 100))
	}
	return 80
}

// help prints the help of a command: purpose, usage, examples, commands, flags in groups, notes.
func (a *App) help(cmd *cobra.Command, _ []string) {
	h := &helpWriter{width: a.helpWidth()}
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	h.text(text, 0)
	h.title("Usage")
	h.raw("  " + useLine(cmd))
	if cmd.Example != "" {
		h.title("Examples")
		for line := range strings.Lines(cmd.Example) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, "#") {
				line = styleOf(styleFaint).Render(line)
			}
			h.raw("  " + line)
		}
	}
	h.commands(cmd)
	h.flags(cmd)
	if notes := cmd.Annotations[notesAnnotation]; notes != "" {
		h.raw("")
		h.raw(strings.TrimRight(notes, "\n"))
	}
	a.outPrinter().line(strings.TrimRight(h.b.String(), "\n"))
}

// notesAnnotation is text that stands at the end of a command's help as it is.
const notesAnnotation = "oddish_notes"

func useLine(cmd *cobra.Command) string {
	switch {
	case cmd.HasAvailableSubCommands() && strings.Contains(cmd.Use, " "): // it does something by itself too
		return cmd.UseLine() + "\n  " + cmd.CommandPath() + " COMMAND"
	case cmd.HasAvailableSubCommands():
		return cmd.CommandPath() + " COMMAND"
	case cmd.HasAvailableFlags():
		return cmd.UseLine()
	}
	return cmd.CommandPath() + strings.TrimPrefix(cmd.Use, cmd.Name())
}

type helpWriter struct {
	b     strings.Builder
	width int
}

func (h *helpWriter) raw(s string) { h.b.WriteString(s + "\n") }

func (h *helpWriter) title(s string) { h.raw("\n" + styleOf(styleBold).Render(s)) }

// text writes paragraphs, wrapped and indented.
func (h *helpWriter) text(s string, indent int) {
	pad := strings.Repeat(" ", indent)
	for _, line := range wrap(s, h.width-indent) {
		h.raw(strings.TrimRight(pad+line, " "))
	}
}

// entry writes a term and, in a column of its own, what it means.
func (h *helpWriter) entry(term, meaning string, column int) {
	lines := wrap(meaning, h.width-column)
	if lipgloss.Width(term) > column-2 {
		h.raw(term)
	} else {
		h.raw(term + strings.Repeat(" ", column-lipgloss.Width(term)) + lines[0])
		lines = lines[1:]
	}
	for _, l := range lines {
		h.raw(strings.Repeat(" ", column) + l)
	}
}

// wrap breaks text into lines between words only: a flag's name must stay whole.
func wrap(s string, width int) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(s, "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			switch {
			case line == "":
				line = word
			case lipgloss.Width(line)+1+lipgloss.Width(word) > width:
				lines = append(lines, line)
				line = word
			default:
				line += " " + word
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// byUse sorts commands as one comes to need them; cobra has them by name.
func byUse(commands []*cobra.Command) []*cobra.Command {
	order := []string{"check", "validate", "run", "status", "ls", "pull", "retry", "cancel", "limit", "pause", "resume", "clean", "api", "worker", "queue", "db", "setup"}
	place := func(c *cobra.Command) int {
		if i := slices.Index(order, c.Name()); i >= 0 {
			return i
		}
		return len(order)
	}
	sorted := slices.Clone(commands)
	slices.SortStableFunc(sorted, func(a, b *cobra.Command) int { return place(a) - place(b) })
	return sorted
}

func (h *helpWriter) commands(cmd *cobra.Command) {
	column := 0
	for _, c := range cmd.Commands() {
		column = max(column, len(c.Name())+6)
	}
	list := func(title, group string) {
		first := true
		for _, c := range byUse(cmd.Commands()) {
			if !c.IsAvailableCommand() || c.GroupID != group || c.Name() == "help" {
				continue
			}
			if first {
				h.title(title)
				first = false
			}
			h.entry("  "+c.Name(), c.Short, column)
		}
	}
	for _, g := range cmd.Groups() {
		list(g.Title, g.ID)
	}
	other := "Commands"
	if len(cmd.Groups()) > 0 {
		other = "Other"
	}
	list(other, "")
}

const flagColumn = 28

func (h *helpWriter) flags(cmd *cobra.Command) {
	var titles []string
	groups := map[string][]*pflag.Flag{}
	cmd.Flags().SortFlags = false
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		title := "Flags"
		if g := f.Annotations[groupAnnotation]; len(g) > 0 {
			title = g[0]
		}
		if !slices.Contains(titles, title) {
			titles = append(titles, title)
		}
		groups[title] = append(groups[title], f)
	})
	for _, title := range titles {
		h.title(title)
		for _, f := range groups[title] {
			h.entry(flagTerm(f), flagMeaning(f), flagColumn)
		}
	}
}

func flagTerm(f *pflag.Flag) string {
	term := "      --" + f.Name
	if f.Shorthand != "" {
		term = "  -" + f.Shorthand + ", --" + f.Name
	}
	if name, _ := pflag.UnquoteUsage(f); name != "" {
		term += " " + name
	}
	return term
}

func flagMeaning(f *pflag.Flag) string {
	name, usage := pflag.UnquoteUsage(f)
	usage = strings.TrimPrefix(usage, name+": ") // it stands in the term already
	switch f.DefValue {
	case "", "false", "0", "[]", "0s":
		return usage
	}
	return usage + " (default " + f.DefValue + ")"
}
