package sandbox

import "context"

// Terminal is a Sandbox in which people can work at a terminal.
type Terminal interface {
	// Terminal runs a command at a terminal of its own, which is connected with the command's Stdin and Stdout (Stderr is not used) and gets the
	// sizes that arrive. It returns the exit status, as Exec does, when the command ends, however long something that it left behind uses the terminal; when
	// ctx ends, the terminal is hung up.
	Terminal(ctx context.Context, cmd Command, sizes <-chan TerminalSize) (int, error)
}

// TerminalSize is the size of a terminal in characters.
type TerminalSize struct{ Rows, Columns uint16 }

// Shell is a script that becomes the best shell of the image.
const Shell = `command -v bash >/dev/null 2>&1 && exec bash -i; exec sh -i`
