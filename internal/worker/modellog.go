package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"oddish/internal/llm/gateway"
	"oddish/internal/llm/price"
)

// former is what former processes have entered in an attempt's log of model requests.
type former struct {
	gateway.Total
	models   []gateway.ModelUsage // one for each call
	replayed []int                // numbers of the recorded exchanges that answered
}

// openModelLog opens the log of an attempt's model requests and reads what former processes entered in it.
func openModelLog(path string, prices *price.Table) (*os.File, former, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, former{}, fmt.Errorf("open the log of model requests: %w", err)
	}
	before, whole, err := readModelLog(f, prices)
	if err == nil {
		err = f.Truncate(whole) // a last line that was cut off
	}
	if err != nil {
		return nil, former{}, errors.Join(fmt.Errorf("read the log of model requests: %w", err), f.Close())
	}
	return f, before, nil
}

// readModelLog sums up the answered calls of a log. whole is the length of its complete lines in bytes.
func readModelLog(r io.Reader, prices *price.Table) (before former, whole int64, err error) {
	before.CostUSD = new(float64)
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// Calls that ran when the process was killed are in no line.
			before.Estimated = before.Estimated || whole > 0
			return before, whole, nil
		}
		if err != nil {
			return before, whole, err
		}
		whole += int64(len(line))
		var e gateway.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return before, whole, err
		}
		before.add(&e, prices)
	}
}

// add counts a line.
func (b *former) add(e *gateway.Entry, prices *price.Table) {
	if e.Replayed > 0 {
		b.replayed = append(b.replayed, e.Replayed)
	}
	if e.Usage == nil {
		return
	}
	m := gateway.ModelUsage{
		Provider: e.Provider, Model: e.SentModel(),
		Total: gateway.Total{Calls: 1, Usage: *e.Usage, CostUSD: e.CostUSD, Estimated: e.Estimated},
	}
	if p, known := prices.LookupFrom(m.Provider, m.Model); known && e.CostUSD != nil && e.Prices == prices.Version() {
		m.Price = &p
	}
	b.Total = together(b.Total, m.Total)
	b.models = append(b.models, m)
}
