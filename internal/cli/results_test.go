package cli

import "testing"

func TestTheFirstLineOfAListNamesWhatIsListedFirst(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "",
		" one\ntwo":                      "one",
		"it lacks:\n  a Dockerfile\n  b": "it lacks: a Dockerfile",
		"nothing follows:":               "nothing follows:",
	} {
		if got := firstLine(text); got != want {
			t.Errorf("of %q got %q, want %q", text, got, want)
		}
	}
}
