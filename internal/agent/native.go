package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Languages of the options that take a configuration of the program's own, for Option.Form.
const (
	formJSON = "JSON"
	formTOML = "TOML"
	formYAML = "YAML"
)

// written gives an option's value that is an object, as sweep files may have it, in the option's language; other values are texts.
func (o Option) written(value any) (string, error) {
	object, is := value.(map[string]any)
	switch {
	case !is || o.Form == "":
		return text(value), nil
	case o.Form == formTOML:
		data, err := toml.Marshal(whole(object))
		return string(data), err
	}
	data, err := json.Marshal(object) // which is YAML as well
	return string(data), err
}

// whole makes integers of numbers that JSON has made floating ones, which are another thing to readers of TOML.
func whole(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			out[name] = whole(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = whole(v[i])
		}
		return out
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	}
	return v
}

// native reads an option that is a configuration of the program's own; an empty object if it is not set.
func native(option Option, value string) (map[string]any, error) {
	object := map[string]any{}
	if value == "" {
		return object, nil
	}
	var err error
	if option.Form == formTOML {
		err = toml.Unmarshal([]byte(value), &object)
	} else {
		err = json.Unmarshal([]byte(value), &object)
	}
	if err != nil || object == nil {
		return nil, fmt.Errorf("option %s is no object in %s, nor the name of a file with one where `oddish run` runs: %w", option.Name, option.Form, err)
	}
	return object, nil
}

// mergedWith gives base with over laid on top of it, objects within objects one by one. Neither is changed.
func mergedWith(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for name, value := range over {
		below, isBelow := out[name].(map[string]any)
		above, isAbove := value.(map[string]any)
		if isBelow && isAbove {
			value = mergedWith(below, above)
		}
		out[name] = value
	}
	return out
}

// ReadFiles gives the agent's kwargs with the contents of files of this machine where an option names one, so that they reach the worker, wherever
// it is. Options that take a configuration of the program's own name a file if there is one of that name; prompt_template_path always
// does. Read reads a file; that there is none is fs.ErrNotExist.
func (i Info) ReadFiles(kwargs map[string]any, read func(path string) ([]byte, error)) (map[string]any, error) {
	out := maps.Clone(kwargs)
	for _, o := range i.Options {
		path, isText := kwargs[o.Name].(string)
		if !isText || o.Form == "" || strings.ContainsAny(path, "\n{") {
			continue
		}
		data, err := read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is the value itself
		}
		if err != nil {
			return nil, fmt.Errorf("option %s of agent %s: %w", o.Name, i.Name, err)
		}
		out[o.Name] = string(data)
	}
	path := text(kwargs[optionTemplatePath])
	if path == "" {
		return out, nil
	}
	data, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("option %s: %w", optionTemplatePath, err)
	}
	if text(kwargs[optionTemplate]) != "" {
		return nil, fmt.Errorf("give %s or %s, not both", optionTemplate, optionTemplatePath)
	}
	delete(out, optionTemplatePath)
	out[optionTemplate] = string(data)
	return out, nil
}
