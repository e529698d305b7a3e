package cli

import (
	"io"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"
)

// liveView redraws a few lines at the bottom of a terminal.
type liveView struct {
	program *tea.Program
	left    chan struct{} // closed when the user pressed Ctrl-C
	ended   chan struct{} // closed when the program has given the terminal back
	once    sync.Once
}

func newLiveView(a *App, o watchOptions) *liveView {
	v := &liveView{left: make(chan struct{}), ended: make(chan struct{})}
	var input io.Reader // without a terminal to read from, keys go their usual way
	if f, ok := a.Stdin.(term.File); ok && term.IsTerminal(f.Fd()) {
		input = f
	}
	v.program = tea.NewProgram(liveModel{started: o.started, left: v.leave},
		tea.WithInput(input), tea.WithOutput(a.Stderr), tea.WithEnvironment(a.Env), tea.WithColorProfile(a.profile(a.Stderr)), tea.WithoutSignalHandler())
	go func() {
		defer close(v.ended)
		_, _ = v.program.Run() // without a view the trials go on all the same
	}()
	return v
}

func (v *liveView) leave() { v.once.Do(func() { close(v.left) }) }

func (v *liveView) change(*boardRow, frame)   {}
func (v *liveView) draw(f frame)              { v.program.Send(f) }
func (v *liveView) detached() <-chan struct{} { return v.left }

// stop wipes the lines off and waits until the terminal is as it was.
func (v *liveView) stop() {
	v.program.Send(liveEnd{})
	<-v.ended
}

type liveEnd struct{}

// liveModel is what bubbletea draws.
type liveModel struct {
	started       time.Time
	left          func()
	frame         frame
	width, height int
	over          bool
}

func (m liveModel) Init() tea.Cmd { return nil }

func (m liveModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case frame:
		m.frame = msg
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case liveEnd:
		m.over = true
		return m, tea.Quit
	case tea.KeyPressMsg:
		switch msg.String() {
		case "ctrl+c":
			m.left()
		case "ctrl+z":
			return m, tea.Suspend
		}
	}
	return m, nil
}

func (m liveModel) View() tea.View {
	if m.over || m.width == 0 || m.frame.total == 0 {
		return tea.NewView("")
	}
	return tea.NewView(drawFrame(m.frame, m.width, m.height, m.started, time.Now()))
}
