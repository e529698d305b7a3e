package sandboxtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

// patience is how long a case waits for what should happen soon; the machine may be busy.
const patience = time.Minute

// user is the one other than root that every image has, uid its number.
const (
	user = "nobody"
	uid  = 65534
)

// soon is a context that ends after patience, or with the test.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until the script succeeds in the sandbox.
func eventually(t *testing.T, sb sandbox.Sandbox, what, script string) {
	t.Helper()
	for deadline := time.Now().Add(patience); exec(t, sb, sandbox.Command{Script: script}).code != 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// dead is a script that succeeds when no process of the pids in the file lives; a zombie does not.
func dead(pidFile string) string {
	return fmt.Sprintf(`for p in $(cat %s); do
		! [ -e /proc/$p/stat ] || grep -q ') Z ' /proc/$p/stat || exit 1
	done`, pidFile)
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %#v, want %#v", what, got, want)
	}
}

// firstWrite calls then at the first write.
type firstWrite struct {
	once sync.Once
	then func()
}

func (f *firstWrite) Write(b []byte) (int, error) {
	f.once.Do(f.then)
	return len(b), nil
}
