package nearest

import (
	"strings"
	"testing"
)

func TestTheWordThatWasMeantIsFound(t *testing.T) {
	t.Parallel()
	known := []string{"status", "experiment", "error", "env", "key"}
	for word, want := range map[string]string{
		"stauts": "status", "exp": "experiment", "errors": "error", "envv": "env", "status": "status",
		"e": "", "kez": "key", "zzz": "", "": "", "nothing": "", strings.Repeat("s", 65): "",
	} {
		if got := To(word, known); got != want {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
}
