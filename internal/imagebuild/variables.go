package imagebuild

import (
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"oddish/internal/image"
)

// variables are what words of a Dockerfile may refer to: arguments, and over them the environment.
type variables struct {
	args map[string]string
	env  map[string]string
	lex  *shell.Lex
}

// platformArgs are the arguments that every build has once they are declared.
func platformArgs() map[string]string {
	all := map[string]string{}
	for _, of := range []string{"BUILD", "TARGET"} {
		all[of+"PLATFORM"], all[of+"OS"], all[of+"ARCH"], all[of+"VARIANT"] = image.Platform(), "linux", runtime.GOARCH, ""
	}
	return all
}

// globals are the arguments before the first FROM.
func (p *project) globals() (*variables, error) {
	v := &variables{args: platformArgs(), env: map[string]string{}, lex: shell.NewLex(p.file.Escape)}
	for _, a := range p.file.Args {
		if err := a.Expand(v.expand); err != nil {
			return nil, p.file.At(&a, err)
		}
		for _, kv := range a.Args {
			if given, is := p.Args[kv.Key]; is {
				v.args[kv.Key] = given
			} else if kv.Value != nil {
				v.args[kv.Key] = *kv.Value
			}
		}
	}
	return v, nil
}

// inStage begins the variables of a stage: only its environment, until it declares arguments.
func (v *variables) inStage(env []string) *variables {
	w := &variables{args: map[string]string{}, env: map[string]string{}, lex: v.lex}
	for _, e := range env {
		key, value, _ := strings.Cut(e, "=")
		w.env[key] = value
	}
	return w
}

// declare carries out an ARG of a stage: its value is the one that was given to the build, or its own, or the one from before the first FROM.
func (v *variables) declare(c *instructions.ArgCommand, given map[string]string, global *variables) {
	for _, kv := range c.Args {
		if value, is := given[kv.Key]; is {
			v.args[kv.Key] = value
		} else if kv.Value != nil {
			v.args[kv.Key] = *kv.Value
		} else if value, is := global.args[kv.Key]; is {
			v.args[kv.Key] = value
		}
	}
}

// Get and Keys make variables what words are expanded with.
func (v *variables) Get(key string) (string, bool) {
	if value, is := v.env[key]; is {
		return value, true
	}
	value, is := v.args[key]
	return value, is
}

// Keys of all variables.
func (v *variables) Keys() []string {
	all := maps.Clone(v.args)
	maps.Copy(all, v.env)
	return slices.Sorted(maps.Keys(all))
}

func (v *variables) expand(word string) (string, error) {
	got, _, err := v.lex.ProcessWord(word, v)
	return got, err
}

// expandRaw is for the content of files in a Dockerfile, where quotes mean nothing.
func (v *variables) expandRaw(text string) (string, error) {
	lex := shell.NewLex('\\')
	lex.SkipProcessQuotes = true
	got, _, err := lex.ProcessWord(text, v)
	return got, err
}

// expandAll expands the words of an instruction in which variables have a meaning.
func (v *variables) expandAll(c instructions.Command) error {
	if e, can := c.(instructions.SupportsSingleWordExpansion); can {
		if err := e.Expand(v.expand); err != nil {
			return err
		}
	}
	if e, can := c.(instructions.SupportsSingleWordExpansionRaw); can {
		return e.ExpandRaw(v.expandRaw)
	}
	return nil
}
