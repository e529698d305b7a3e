package agent

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"oddish/internal/sandbox"
)

// Options of every installed agent.
const (
	optionVersion      = "version"              // exact version to use
	optionTemplate     = "prompt_template"      // text with {{ instruction }} in it
	optionTemplatePath = "prompt_template_path" // file with such a text, which `oddish run` reads
)

func commonOptions() []Option {
	return []Option{
		{Name: optionVersion, Help: "exactly this version of its program"},
		{Name: optionTemplate, Help: "text with {{ instruction }} in it, which it is told"},
		{Name: optionTemplatePath, Help: "file with such a text, read by `oddish run`"},
	}
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
	values, err := optionValues(d.Name, slices.Concat(d.Options, commonOptions()), kwargs)
	if err != nil {
		return settings{}, err
	}
	s := settings{options: map[string]string{}, env: map[string]string{}}
	var flags []string
	for _, o := range d.Options {
		value := values[o.Name]
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
	return s, s.takeTemplate(d.Name, kwargs)
}

// optionValues gives the kwargs as text, with defaults; what is not set is not in it. One that is not among the options is an error.
func optionValues(agent string, options []Option, kwargs map[string]any) (map[string]string, error) {
	var known []string
	for _, o := range options {
		known = append(known, o.Name)
	}
	slices.Sort(known)
	if err := refuseKwargs(agent, kwargs, known...); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, o := range options {
		v, err := o.value(agent, kwargs)
		if err != nil {
			return nil, err
		}
		if v != "" {
			values[o.Name] = v
		}
	}
	return values, nil
}

// value gives the option as text, "" if it is not set.
func (o Option) value(agent string, kwargs map[string]any) (string, error) {
	given, set := kwargs[o.Name]
	value := o.Default
	if set && given != nil {
		var err error
		if value, err = o.written(given); err != nil {
			return "", fmt.Errorf("agent %s: option %s: %w", agent, o.Name, err)
		}
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

// takeTemplate checks the prompt template, all of it here and not only when it is filled in.
func (s *settings) takeTemplate(agent string, kwargs map[string]any) error {
	if text(kwargs[optionTemplatePath]) != "" { // a worker reads no file that somebody who submits trials names
		return fmt.Errorf("agent %s: %s is read by `oddish run`: give the text as %s", agent, optionTemplatePath, optionTemplate)
	}
	s.template = text(kwargs[optionTemplate])
	if s.template == "" {
		return nil
	}
	parts := instructionMark().Split(s.template, -1)
	if len(parts) < 2 {
		return fmt.Errorf("agent %s: the prompt template must contain {{ instruction }}", agent)
	}
	for _, part := range parts {
		if strings.Contains(part, "{{") || strings.Contains(part, "{%") {
			return fmt.Errorf("agent %s: the prompt template uses more than {{ instruction }}, which is all that can be filled in", agent)
		}
	}
	return nil
}

func instructionMark() *regexp.Regexp { return regexp.MustCompile(`\{\{\s*instruction\s*\}\}`) }

// prompt gives what the agent is told.
func (s *settings) prompt(instruction string) string {
	if s.template == "" {
		return instruction
	}
	return strings.Join(instructionMark().Split(s.template, -1), instruction)
}
