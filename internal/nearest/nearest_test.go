package nearest

import (
	"strings"
	"testing"
)

func TestTheWordThatWasMeantIsFound(t *testing.T) {
	t.Parallel()
	known := []string{"status", "experiment", "error", "env", "key", "base_image", "timeout_sec"}
	for word, want := range map[string]string{
		"stauts": "status", "exp": "experiment", "errors": "error", "envv": "env", "status": "status",
		"e": "", "kez": "key", "image": "base_image", "sec": "", "zzz": "", "": "", "nothing": "", strings.Repeat("s", 65): "",
	} {
		if got := To(word, known); got != want {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
}
