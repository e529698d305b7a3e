package backup

import (
	"errors"
	"os"
	"path/filepath"
)

// exchange moves files and folders to NewFolder's place and what was there to OldFolder, and can take it back.
type exchange struct {
	items []item
	done  []move
}

type item struct{ dir, name string }

type move struct{ from, to string }

func (e *exchange) add(dir, name string) { e.items = append(e.items, item{dir, name}) }

// run first moves everything old away, so that nothing old and new is ever side by side, then the new in.
func (e *exchange) run() error {
	for _, i := range e.items {
		old := filepath.Join(i.dir, OldFolder)
		if err := os.MkdirAll(old, 0o700); err != nil {
			return err
		}
		if err := e.move(filepath.Join(i.dir, i.name), filepath.Join(old, i.name)); err != nil {
			return err
		}
	}
	for _, i := range e.items {
		if err := e.move(filepath.Join(i.dir, NewFolder, i.name), filepath.Join(i.dir, i.name)); err != nil {
			return err
		}
	}
	return nil
}

// move renames what is there; what is not is no error.
func (e *exchange) move(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		e.done = append(e.done, move{from, to})
	}
	return err
}

// undo takes back what run has done, and removes the folders of what was old if nothing is in them.
func (e *exchange) undo() error {
	var errs []error
	for i := len(e.done) - 1; i >= 0; i-- {
		errs = append(errs, os.Rename(e.done[i].to, e.done[i].from))
	}
	e.done = nil
	for _, i := range e.items {
		_ = os.Remove(filepath.Join(i.dir, OldFolder)) // it is kept if something is in it
	}
	return errors.Join(errs...)
}
