package agent

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// Options of every installed agent.
const (
	optionVersion      = "version"              // exact version to use
	optionTemplate     = "prompt_template"      // text with {{ instruction }} in it
	optionTemplatePath = "prompt_template_path" // file of the worker's machine with such a text
)

func commonOptions() []string {
	return []string{optionVersion, optionTemplate, optionTemplatePath}
}

// settings are the checked kwargs of an installed agent.
type settings struct {
	version  string // empty: whatever the image has, else the tested one
	template string // empty: the instruction alone
	options  map[string]string
	flags    string
	env      map[string]string
}

// newSettings checks kwargs against what the definition knows.
func newSettings(d *Definition, kwargs map[string]any) (settings, error) {
	known := commonOptions()
	for _, o := range d.Options {
		known = append(known, o.Name)
	}
	slices.Sort(known)
	if err := refuseKwargs(d.Name, kwargs, known...); err != nil {
		return settings{}, err
	}
	s := settings{options: map[string]string{}, env: map[string]string{}}
	var flags []string
	for _, o := range d.Options {
		value, err := o.value(d.Name, kwargs)
		if err != nil {
			return settings{}, err
		}
		if value == "" {
			continue
		}
		s.options[o.Name] = value
		if o.Env != "" {
			s.env[o.Env] = value
		}
		if f := o.flag(value); f != "" {
			flags = append(flags, f)
		}
	}
	s.flags = strings.Join(flags, " ")
	s.version = text(kwargs[optionVersion])
	if s.version != "" && !regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]*$`).MatchString(s.version) {
		return settings{}, fmt.Errorf("agent %s: version %q is not like 1.2.3", d.Name, s.version)
	}
	return s, s.readTemplate(d.Name, kwargs)
}

// value gives the option as text, "" if it is not set.
func (o Option) value(agent string, kwargs map[string]any) (string, error) {
	given, set := kwargs[o.Name]
	value := o.Default
	if set && given != nil {
		value = text(given)
	}
	switch {
	case value == "":
	case o.Switch && value != "true" && value != "false":
		return "", fmt.Errorf("agent %s: option %s is true or false, not %q", agent, o.Name, value)
	case len(o.Values) > 0 && !slices.Contains(o.Values, value):
		return "", fmt.Errorf("agent %s: option %s cannot be %q: it is one of %s", agent, o.Name, value, strings.Join(o.Values, ", "))
	}
	return value, nil
}

// flag gives the option's part of the command line.
func (o Option) flag(value string) string {
	switch {
	case o.Flag == "" || o.Switch && value != "true":
		return ""
	case o.Switch:
		return o.Flag
	case strings.HasSuffix(o.Flag, "="):
		return sandbox.Quote(o.Flag + value)
	}
	return o.Flag + " " + sandbox.Quote(value)
}

// text gives a kwarg as the command line writes it: whole numbers without a fraction.
func text(v any) string {
	if v == nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprint(v))
}

func (s *settings) readTemplate(agent string, kwargs map[string]any) error {
	s.template = text(kwargs[optionTemplate])
	if path := text(kwargs[optionTemplatePath]); path != "" {
		if s.template != "" {
			return fmt.Errorf("agent %s: give %s or %s, not both", agent, optionTemplate, optionTemplatePath)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("agent %s: %s is read where the worker runs: %w", agent, optionTemplatePath, err)
		}
		s.template = string(data)
	}
	if s.template != "" && !instructionMark().MatchString(s.template) {
		return fmt.Errorf("agent %s: the prompt template must contain {{ instruction }}", agent)
	}
	return nil
}

func instructionMark() *regexp.Regexp { return regexp.MustCompile(`\{\{\s*instruction\s*\}\}`) }

// prompt gives what the agent is told. Other template language than {{ instruction }} is not understood and refused, not passed on.
func (s *settings) prompt(instruction string) (string, error) {
	if s.template == "" {
		return instruction, nil
	}
	parts := instructionMark().Split(s.template, -1)
	for _, part := range parts {
		if strings.Contains(part, "{{") || strings.Contains(part, "{%") {
			return "", result.Errorf(result.ValueError, "the prompt template uses more than {{ instruction }}, which is all that can be filled in")
		}
	}
	return strings.Join(parts, instruction), nil
}
