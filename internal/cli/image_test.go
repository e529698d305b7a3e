package cli

import "testing"

func TestManyNamesOfAnImageFitARow(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"":                    nil,
		"a:1":                 {"a:1"},
		"a:1, b:1":            {"a:1", "b:1"},
		"a:1, b:1 and 2 more": {"a:1", "b:1", "c:1", "d:1"},
	} {
		if got := fewNames(names); got != want {
			t.Errorf("%v gives %q, want %q", names, got, want)
		}
	}
}
