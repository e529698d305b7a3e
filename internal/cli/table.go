package cli

import (
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"github.com/charmbracelet/x/ansi"
)

// column of a table.
type column struct {
	title string
	right bool // numbers
	// least is the width down to which the column may be cut to make the table fit; 0: never cut.
	least int
	// middle cuts out of the middle, where the end tells rows apart.
	middle bool
	// optional columns are left out when no row has anything in them.
	optional bool
}

const columnGap = 2

// renderTable lays out rows under a header. Where they are wider than width (0: no bound) the columns
// that may be cut are, the widest first.
func renderTable(width int, columns []column, rows [][]string) string {
	columns, rows = dropEmpty(columns, rows)
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = lipgloss.Width(c.title)
		for _, r := range rows {
			widths[i] = max(widths[i], lipgloss.Width(r[i]))
		}
	}
	if width > 0 {
		shrink(widths, columns, width)
	}
	t := table.New().
		Border(lipgloss.NormalBorder()).BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderColumn(false).BorderRow(false).BorderHeader(true).BorderStyle(styleOf(styleFaint)).Wrap(false).
		StyleFunc(func(row, col int) lipgloss.Style {
			s := lipgloss.NewStyle()
			if row == table.HeaderRow {
				s = styleOf(styleBold)
			}
			if columns[col].right {
				s = s.Align(lipgloss.Right)
			}
			if col == len(columns)-1 {
				return s.Width(widths[col])
			}
			return s.Width(widths[col] + columnGap).PaddingRight(columnGap)
		})
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = cut(c.title, widths[i], false)
	}
	t.Headers(titles...)
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, v := range r {
			cells[i] = cut(v, widths[i], columns[i].middle)
		}
		t.Row(cells...)
	}
	return trimLines(t.String())
}

// dropEmpty leaves out the optional columns in which no row has anything.
func dropEmpty(columns []column, rows [][]string) ([]column, [][]string) {
	var keep []int
	for i, c := range columns {
		if !c.optional || slices.ContainsFunc(rows, func(r []string) bool { return r[i] != "" && r[i] != nothing }) {
			keep = append(keep, i)
		}
	}
	kept := make([]column, len(keep))
	keptRows := make([][]string, len(rows))
	for to, from := range keep {
		kept[to] = columns[from]
		for n, r := range rows {
			keptRows[n] = append(keptRows[n], r[from])
		}
	}
	return kept, keptRows
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

// shrink takes columns off the widest column that may lose some, until the table fits or none may.
func shrink(widths []int, columns []column, width int) {
	total := columnGap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		widest := -1
		for i, c := range columns {
			if c.least > 0 && widths[i] > c.least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

// cut shortens s to width columns with an ellipsis at its end or in its middle.
func cut(s string, width int, middle bool) string {
	n := lipgloss.Width(s)
	if n <= width {
		return s
	}
	if !middle || width < 5 {
		return ansi.Truncate(s, width, "…")
	}
	tail := (width - 1) / 2
	return ansi.Truncate(s, width-1-tail, "") + "…" + ansi.TruncateLeft(s, n-tail, "")
}
