package imagebuild

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"oddish/internal/dockerfile"
)

// log tells what is done. Commands write to it at once with the builder.
type log struct {
	mu sync.Mutex
	to io.Writer // nil: nobody listens
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return len(b), nil
	}
	return l.to.Write(b)
}

func (l *log) say(format string, args ...any) { _, _ = fmt.Fprintf(l, format+"\n", args...) } // whoever listens no more misses it

// step tells of an instruction.
func (l *log) step(f *dockerfile.File, c instructions.Command, how string) {
	text := strings.Join(strings.Fields(fmt.Sprint(c)), " ")
	const most = 160
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most-1]) + "…"
	}
	if how != "" {
		how = " (" + how + ")"
	}
	l.say("%s:%d%s %s", f.Name, dockerfile.Line(c), how, text)
}
