package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"oddish/internal/config"
	"oddish/internal/llm/price"
)

func (a *App) modelsCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "models [QUERY] [flags]",
		GroupID: groupUse,
		Short:   "List models with their prices",
		Long: "List the models whose prices are known, in US dollars for a million tokens. QUERY is a part of the names to show. Models that " +
			"are not listed can be used too: what they cost is then unknown, unless ODDISH_PRICES_FILE names a file with their prices (docs/models.md).",
		Example: "oddish models sonnet\noddish models openai/ --json",
		Args:    atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			prices, err := priceTable(cfg)
			if err != nil {
				return err
			}
			query := ""
			if len(args) == 1 {
				query = args[0]
			}
			return a.listModels(prices, query, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (a *App) listModels(prices *price.Table, query string, asJSON bool) error {
	found := []price.Price{}
	for _, p := range prices.Models() {
		if strings.Contains(p.Provider+"/"+p.Model, strings.ToLower(query)) {
			found = append(found, p)
		}
	}
	if asJSON {
		return a.printJSON(map[string]any{"price_version": prices.Version(), "models": found})
	}
	out := a.outPrinter()
	if len(found) == 0 {
		out.line("no model with a known price has " + strconv.Quote(query) + " in its name")
		return nil
	}
	out.line(modelsTable(out.width, found))
	return nil
}

func modelsTable(width int, models []price.Price) string {
	columns := []column{
		{title: "MODEL", least: 20, middle: true}, {title: "INPUT", right: true}, {title: "OUTPUT", right: true},
		{title: "CACHED", right: true}, {title: "CACHE WRITE", right: true, optional: true}, {title: "CONTEXT", right: true},
	}
	var rows [][]string
	for _, p := range models {
		context := nothing
		if p.Context > 0 {
			context = strconv.FormatInt(p.Context, 10)
		}
		rows = append(rows, []string{p.Provider + "/" + p.Model, priceCell(&p.Input), priceCell(&p.Output), priceCell(p.CacheRead), priceCell(p.CacheWrite), context})
	}
	return renderTable(width, columns, rows)
}

func priceCell(usd *float64) string {
	if usd == nil {
		return nothing
	}
	return strconv.FormatFloat(*usd, 'f', -1, 64)
}

// priceTable is the builtin table with the configured file before it.
func priceTable(cfg config.Config) (*price.Table, error) {
	prices := price.Builtin()
	if cfg.PricesFile == "" {
		return prices, nil
	}
	prices, err := prices.WithFile(cfg.PricesFile)
	if err != nil {
		return nil, failf("mend the file, or unset ODDISH_PRICES_FILE", "prices: %v", err)
	}
	return prices, nil
}
