package cli

import (
	"cmp"

	"oddish/api"
)

// budgetFlag reads what may be used of models, see api.ParseBudget. Giving the flag again adds another bound.
type budgetFlag struct{ b *api.Budget }

func (f *budgetFlag) String() string { return "" }
func (f *budgetFlag) Type() string   { return "AMOUNT" }
func (f *budgetFlag) Set(s string) error {
	b, err := api.ParseBudget(s)
	if err != nil {
		return err
	}
	if f.b != nil {
		b.USD, b.Tokens, b.Calls = cmp.Or(b.USD, f.b.USD), cmp.Or(b.Tokens, f.b.Tokens), cmp.Or(b.Calls, f.b.Calls)
	}
	f.b = &b
	return nil
}
