package fake_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"oddish/internal/sandbox/fake"
)

func TestEveryOptionIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../docs/sandboxes.md")
	if err != nil {
		t.Fatal(err)
	}
	for key, meaning := range fake.Options() {
		if line := fmt.Sprintf("| `%s` | %s |\n", key, meaning); !strings.Contains(string(doc), line) {
			t.Errorf("docs/sandboxes.md lacks the line\n%s", line)
		}
	}
}
