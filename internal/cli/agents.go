package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"oddish/internal/agent"
	"oddish/internal/config"
	"oddish/internal/llm"
)

// agentDocument is an agent in the JSON of `oddish agents`.
type agentDocument struct {
	Name        string           `json:"name"`
	NeedsModel  bool             `json:"needs_model"`
	Description string           `json:"description"`
	Source      string           `json:"source"`  // empty: built in
	Version     string           `json:"version"` // the tested one
	Ready       bool             `json:"ready"`   // this machine has it
	Dialects    []llm.Dialect    `json:"dialects"`
	OwnKey      string           `json:"own_key,omitempty"` // variable with the key of its own service
	Tokens      bool             `json:"tells_tokens"`
	Cost        bool             `json:"tells_cost"`
	Trajectory  bool             `json:"trajectory"`
	MCP         bool             `json:"mcp"`
	Skills      bool             `json:"skills"`
	Options     []optionDocument `json:"options"`
}

type optionDocument struct {
	Name    string   `json:"name"`
	Values  []string `json:"values"` // empty: any
	Default string   `json:"default,omitempty"`
	Format  string   `json:"format,omitempty"` // of a configuration of the program's own
	Help    string   `json:"help,omitempty"`
}

func (a *App) agentsCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "agents [NAME] [flags]",
		GroupID: groupUse,
		Short:   "List the agents that can be run, or show one",
		Long: "List the agents that can be run: the version of each that is used unless another is asked for, where its program comes from, in which dialects of model APIs it speaks, " +
			"what it tells of its work itself (steps, tokens, cost), and whether this machine has it ready. With NAME, show its options, the keys that it needs and an example.",
		Example: "oddish agents\noddish agents codex",
		Args:    atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			ready := func(i agent.Info) bool { return i.Ready(a.agentFolders(cfg)...) }
			if len(args) == 1 {
				info, known := agent.Find(args[0])
				if !known {
					return usagef("%v", agent.UnknownError(args[0]))
				}
				return a.showAgent(info, ready(info), asJSON)
			}
			return a.listAgents(agent.Known(), ready, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// agentFolders are where the programs of agents are kept on this machine.
func (a *App) agentFolders(cfg config.Config) []string {
	dirs := []string{filepath.Join(cfg.DataDir, agentsFolder)}
	if cfg.AgentPackages != "" {
		dirs = append(dirs, cfg.AgentPackages)
	}
	return dirs
}

func (a *App) listAgents(agents []agent.Info, ready func(agent.Info) bool, asJSON bool) error {
	if !asJSON {
		out := a.outPrinter()
		out.line(agentsTable(out.width, agents, ready))
		return nil
	}
	list := []agentDocument{}
	for _, info := range agents {
		list = append(list, newAgentDocument(info, ready(info)))
	}
	return a.printJSON(map[string]any{"agents": list})
}

func newAgentDocument(i agent.Info, ready bool) agentDocument {
	d := agentDocument{
		Name: i.Name, NeedsModel: i.NeedsModel, Description: i.Description, Source: i.Source, Version: i.Version, Ready: ready,
		Dialects: append([]llm.Dialect{}, i.Dialects...), OwnKey: i.OwnKey, Tokens: i.Tells.Tokens, Cost: i.Tells.Cost, Trajectory: i.Trajectory,
		MCP: i.MCP, Skills: i.Skills, Options: []optionDocument{},
	}
	for _, o := range i.Options {
		d.Options = append(d.Options, optionDocument{Name: o.Name, Values: append([]string{}, optionValues(o)...), Default: o.Default, Format: o.Form, Help: o.Help})
	}
	return d
}

func optionValues(o agent.Option) []string {
	if o.Switch {
		return []string{"true", "false"}
	}
	return o.Values
}

// wideAgents is the width from which there is room for the whole names of programs and the descriptions.
const wideAgents = 120

func agentsTable(width int, agents []agent.Info, ready func(agent.Info) bool) string {
	columns := []column{
		{title: "AGENT"}, {title: "VERSION", least: 12}, {title: "FROM", least: 6, middle: true}, {title: "SPEAKS", least: 15}, {title: "TELLS", least: 5}, {title: "HERE"},
	}
	wide := width == 0 || width >= wideAgents
	if wide {
		columns = append(columns, column{title: "DESCRIPTION", least: 20})
	}
	var rows [][]string
	for _, i := range agents {
		row := []string{i.Name, orNothing(i.Version), orNothing(i.Source), speaks(i), tells(i), nothing}
		switch {
		case i.Source == "":
			row[5] = "built in"
		case ready(i):
			row[5] = "ready"
		}
		if wide {
			row = append(row, i.Description)
		} else {
			row[2] = sourceKind(i)
		}
		rows = append(rows, row)
	}
	return renderTable(width, columns, rows)
}

// sourceKind says in one word where the program comes from.
func sourceKind(i agent.Info) string {
	first, _, _ := strings.Cut(i.Source, " ")
	switch first {
	case "npm", "PyPI", "yours":
		return first
	case "":
		return nothing
	}
	return "vendor"
}

func orNothing(s string) string { return firstNonEmpty(s, nothing) }

// speaks says how the agent speaks to its model.
func speaks(i agent.Info) string {
	var names []string
	for _, d := range i.Dialects {
		names = append(names, string(d))
	}
	switch {
	case i.OwnKey != "":
		return "own service"
	case len(names) == len(llm.Dialects()):
		return "all"
	}
	return orNothing(strings.Join(names, ", "))
}

// tells says what the agent itself leaves of its work.
func tells(i agent.Info) string {
	var what []string
	for _, w := range []struct {
		name string
		does bool
	}{{"steps", i.Trajectory}, {"tokens", i.Tells.Tokens}, {"cost", i.Tells.Cost}} {
		if w.does {
			what = append(what, w.name)
		}
	}
	if len(what) == 3 {
		return "all"
	}
	return orNothing(strings.Join(what, ", "))
}

func (a *App) showAgent(i agent.Info, ready, asJSON bool) error {
	if asJSON {
		return a.printJSON(newAgentDocument(i, ready))
	}
	out := a.outPrinter()
	out.line(agentText(out.width, i, ready))
	return nil
}

// agentText shows one agent.
func agentText(width int, i agent.Info, ready bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", styleOf(styleBold).Render(i.Name), i.Description)
	for _, f := range agentFacts(i, ready) {
		b.WriteString(hanging(width, 14, f[0], f[1]))
	}
	if len(i.Options) > 0 {
		b.WriteString("\n" + styleOf(styleBold).Render("Options") + " (--ak NAME=VALUE)\n" + optionsText(width, i.Options))
	}
	b.WriteString("\n" + styleOf(styleBold).Render("Example") + "\n  " + strings.ReplaceAll(agentExample(i), " --a", " \\\n    --a") + "\n")
	return strings.TrimSuffix(b.String(), "\n")
}

// agentFacts are what there is to say about the agent, each with its title.
func agentFacts(i agent.Info, ready bool) [][2]string {
	program := firstNonEmpty(i.Source, "built in")
	if i.Version != "" {
		program += ", version " + i.Version
	}
	if ready {
		program += ", ready on this machine"
	}
	yes := map[bool]string{true: "yes", false: "no"}
	model := nothing
	switch {
	case i.NeedsModel:
		model = "needed (-m)"
	case len(i.Dialects) > 0:
		model = "optional (-m)"
	}
	return [][2]string{
		{"Program", program},
		{"Model", model},
		{"Speaks", speaks(i)},
		{"Key", agentKey(i)},
		{"Tells", strings.Replace(tells(i), "all", "steps, tokens, cost", 1)},
		{"Tool servers", yes[i.MCP]},
		{"Skills", yes[i.Skills]},
	}
}

// agentKey says which keys it needs, and who has them.
func agentKey(i agent.Info) string {
	if i.OwnKey != "" {
		return i.OwnKey + ", given with --ae: the agent holds it"
	}
	var names []string
	for _, d := range i.Dialects {
		name := map[llm.Dialect]string{llm.Anthropic: "ANTHROPIC_API_KEY", llm.Chat: "OPENAI_API_KEY", llm.Responses: "OPENAI_API_KEY", llm.Gemini: "GEMINI_API_KEY"}[d]
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ") + " or another, by the model; the worker holds it"
}

// optionsText lists options with what they mean, take and are without being set, wrapped to width (0: not).
func optionsText(width int, options []agent.Option) string {
	names := 0
	for _, o := range options {
		names = max(names, len(o.Name))
	}
	indent := names + 2 + columnGap
	var b strings.Builder
	for _, o := range options {
		b.WriteString(hanging(width, indent, "  "+o.Name, optionMeaning(o)))
	}
	return b.String()
}

// hanging gives a title and a text beside it, which is wrapped to width (0: not).
func hanging(width, indent int, title, text string) string {
	if room := width - indent; room > 20 {
		text = strings.ReplaceAll(ansi.Wordwrap(text, room, ""), "\n", "\n"+strings.Repeat(" ", indent))
	}
	return strings.TrimRight(fmt.Sprintf("%-*s%s", indent, title, text), " ") + "\n"
}

func optionMeaning(o agent.Option) string {
	meaning := o.Help
	var more []string
	if values := optionValues(o); len(values) > 0 {
		more = append(more, "one of "+strings.Join(values, ", "))
	}
	if o.Form != "" {
		more = append(more, o.Form+", or a file with it")
	}
	if len(more) > 0 {
		meaning = strings.TrimPrefix(meaning+": ", ": ") + strings.Join(more, "; ")
	}
	if o.Default != "" {
		meaning += " (default " + o.Default + ")"
	}
	return meaning
}

// agentExample is a command line that runs it.
func agentExample(i agent.Info) string {
	line := "oddish run -p examples/tasks -a " + i.Name
	if len(i.Dialects) > 0 {
		line += " -m " + map[llm.Dialect]string{
			llm.Anthropic: "anthropic/claude-sonnet-4-5", llm.Chat: "openai/gpt-5.2", llm.Responses: "openai/gpt-5.2-codex", llm.Gemini: "google/gemini-2.5-pro",
		}[i.Dialects[0]]
	}
	switch {
	case i.OwnKey != "":
		return line + " -m cursor/gpt-5 --ae " + i.OwnKey + "=…"
	case i.Name == "command":
		return line + " --ak run='my-agent --model {{ model }} {{ prompt_file }}'"
	}
	return line
}
