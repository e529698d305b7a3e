package cli

import (
	"github.com/spf13/cobra"

	"oddish/internal/agent"
)

// agentDocument is an agent in the JSON of `oddish agents`.
type agentDocument struct {
	Name        string `json:"name"`
	NeedsModel  bool   `json:"needs_model"`
	Description string `json:"description"`
}

func (a *App) agentsCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "agents [flags]",
		GroupID: groupUse,
		Short:   "List the agents that can be run",
		Long:    "List the agents that can be run, and which of them need a model (-m). How each is configured: docs/agents.md.",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				list := []agentDocument{}
				for _, info := range agent.Known() {
					list = append(list, agentDocument{info.Name, info.NeedsModel, info.Description})
				}
				return a.printJSON(map[string]any{"agents": list})
			}
			out := a.outPrinter()
			out.line(agentsTable(out.width, agent.Known()))
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func agentsTable(width int, agents []agent.Info) string {
	columns := []column{{title: "AGENT"}, {title: "MODEL"}, {title: "DESCRIPTION", least: 20}}
	var rows [][]string
	for _, info := range agents {
		needs := nothing
		if info.NeedsModel {
			needs = "needed"
		}
		rows = append(rows, []string{info.Name, needs, info.Description})
	}
	return renderTable(width, columns, rows)
}
