package cli

import (
	"fmt"
	"strconv"

	"oddish/api"
)

// regradedTrial is a line of the outcome.
type regradedTrial struct {
	ID        string   `json:"id"`
	RegradeOf string   `json:"regrade_of"`
	Task      string   `json:"task"`
	Agent     string   `json:"agent"`
	Model     string   `json:"model"`
	Before    *float64 `json:"before"`
	After     *float64 `json:"after"`
	ErrorType *string  `json:"error_type"`
}

// print shows old and new rewards side by side.
func (r *regrading) print(trials []api.Trial) error {
	names := map[string]string{}
	for _, t := range r.sub.tasks {
		names[t.ID] = t.Name
	}
	list := []regradedTrial{}
	for _, t := range trials {
		of := r.sources[deref(t.RegradeOf)]
		list = append(list, regradedTrial{t.ID, of.ID, names[t.TaskID], t.Agent, t.Model, of.Reward, t.Reward, t.ErrorType})
	}
	if r.json {
		return r.printDocument(list)
	}
	columns := []column{
		{title: "TRIAL", least: 16, middle: true}, {title: "AGENT", least: 8}, {title: "MODEL", least: 8, middle: true},
		{title: "BEFORE", right: true}, {title: "AFTER", right: true}, {title: "CHANGE", right: true, optional: true}, {title: "ERROR", least: 10, optional: true},
	}
	var rows [][]string
	changed := 0
	for i, t := range list {
		change := changeCell(t.Before, t.After)
		if change != "" {
			changed++
		}
		rows = append(rows, []string{trials[i].Name, t.Agent, modelCell(t.Model), rewardCell(t.Before), rewardCell(t.After), change, deref(t.ErrorType)})
	}
	out := r.outPrinter()
	out.line(renderTable(out.width, columns, rows))
	out.line("")
	errorDetails(out, trials, 5)
	out.line(fmt.Sprintf("%s verified again: %d changed", plural(len(list), "trial"), changed))
	out.line(experimentURL(r.conn, r.sub.experimentID))
	r.tellLeftOut()
	return nil
}

// printDocument prints the outcome as JSON.
func (r *regrading) printDocument(trials []regradedTrial) error {
	return r.printJSON(map[string]any{
		"experiment": r.sub.experimentName, "experiment_id": r.sub.experimentID, "experiment_url": experimentURL(r.conn, r.sub.experimentID),
		"trials": trials, "left_out": r.leftOut,
	})
}

// changeCell is the difference of two rewards; "" if there is none.
func changeCell(before, after *float64) string {
	switch {
	case before == nil && after == nil:
		return ""
	case before == nil:
		return styleOf(styleGood).Render("new")
	case after == nil:
		return styleOf(styleError).Render("lost")
	case *before == *after:
		return ""
	}
	text := strconv.FormatFloat(*after-*before, 'f', 2, 64)
	if *after > *before {
		return styleOf(styleGood).Render("+" + text)
	}
	return styleOf(styleError).Render(text)
}

// tellLeftOut names the reasons for which trials were left out, each with their number.
func (r *regrading) tellLeftOut() {
	count := map[string]int{}
	var reasons []string
	for _, l := range r.leftOut {
		if count[l.Reason]++; count[l.Reason] == 1 {
			reasons = append(reasons, l.Reason)
		}
	}
	for _, reason := range reasons {
		r.warn("left out: %s: %s", plural(count[reason], "trial"), reason)
	}
}

// printQueued ends a regrade that does not wait.
func (r *regrading) printQueued() error {
	if r.json {
		return r.printDocument([]regradedTrial{})
	}
	r.tellLeftOut()
	return r.printSubmitted(r.conn, &runPlan{quiet: r.quiet}, &r.sub)
}
