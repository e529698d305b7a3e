package cli_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestHarborReadsWhatWasPulled asks Harbor itself, where ODDISH_TEST_HARBOR=1 says that it may be installed from the Python registry.
func TestHarborReadsWhatWasPulled(t *testing.T) {
	t.Parallel()
	if os.Getenv("ODDISH_TEST_HARBOR") == "" {
		t.Skip("ODDISH_TEST_HARBOR is not set")
	}
	out, err := exec.CommandContext(t.Context(), "../../scripts/harbor-compat.sh").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}
