package dockerfile

import (
	"maps"
	"slices"
	"strconv"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Images gives the names of the images that a build begins with or copies from: those of FROM lines, COPY --from and mounts of a RUN, each once and in
// their order. Variables stand for the values of ARG lines before the first FROM, and for those that every build has, which are given; others for
// nothing.
func (f *File) Images(given map[string]string) []string {
	vars := arguments(maps.Clone(given))
	if vars == nil {
		vars = arguments{}
	}
	lex := shell.NewLex(f.Escape)
	expand := func(word string) (string, error) {
		got, _, err := lex.ProcessWord(word, vars)
		return got, err
	}
	for _, a := range f.Args {
		if a.Expand(expand) != nil {
			continue
		}
		for _, kv := range a.Args {
			if kv.Value != nil {
				vars[kv.Key] = *kv.Value
			}
		}
	}
	var all []string
	add := func(name string, before []instructions.Stage) {
		if name == "" || name == "scratch" || slices.Contains(all, name) {
			return
		}
		if _, is := instructions.HasStage(before, name); !is {
			all = append(all, name)
		}
	}
	for i, s := range f.Stages {
		if name, err := expand(s.BaseName); err == nil {
			add(name, f.Stages[:i])
		}
		for _, c := range s.Commands {
			for _, from := range sources(c, expand) {
				if n, err := strconv.Atoi(from); err != nil || n >= len(f.Stages) {
					add(from, f.Stages)
				}
			}
		}
	}
	return all
}

// sources are the images or stages that an instruction copies from.
func sources(c instructions.Command, expand func(string) (string, error)) []string {
	switch c := c.(type) {
	case *instructions.CopyCommand:
		if from, err := expand(c.From); err == nil {
			return []string{from}
		}
	case *instructions.RunCommand:
		if c.Expand(expand) != nil {
			return nil
		}
		var all []string
		for _, m := range instructions.GetMounts(c) {
			all = append(all, m.From)
		}
		return all
	}
	return nil
}

// arguments are what words are expanded with.
type arguments map[string]string

// Get gives a value.
func (a arguments) Get(key string) (string, bool) {
	value, is := a[key]
	return value, is
}

// Keys gives the names.
func (a arguments) Keys() []string { return slices.Sorted(maps.Keys(a)) }
