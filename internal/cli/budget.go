package cli

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"oddish/api"
)

var errBudget = errors.New("want an amount with its unit (usd, tok, ktok, mtok or calls), such as 25usd or 25usd,100calls")

// budgetFlag reads what may be used of models: 25usd, 2mtok (also ktok, tok), 100calls; several bounds with commas, or by giving
// the flag again.
type budgetFlag struct{ b *api.Budget }

func (f *budgetFlag) String() string { return "" }
func (f *budgetFlag) Type() string   { return "AMOUNT" }
func (f *budgetFlag) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		if err := f.add(strings.TrimSpace(part)); err != nil {
			return err
		}
	}
	return nil
}

func (f *budgetFlag) add(s string) error {
	number, unit := s, ""
	if i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); i >= 0 {
		number, unit = s[:i], strings.ToLower(strings.TrimSpace(s[i:]))
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return errBudget
	}
	if f.b == nil {
		f.b = &api.Budget{}
	}
	whole := func(factor float64) *int64 {
		total := int64(math.Round(n * factor))
		return &total
	}
	switch unit {
	case "usd":
		f.b.USD = &n
	case "tok", "tokens":
		f.b.Tokens = whole(1)
	case "ktok":
		f.b.Tokens = whole(1e3)
	case "mtok":
		f.b.Tokens = whole(1e6)
	case "calls", "call":
		f.b.Calls = whole(1)
	default:
		return errBudget
	}
	return nil
}
