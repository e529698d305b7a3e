package fakellm

import (
	"slices"
	"strings"
)

// call is a tool call to be put into a dialect's form.
type call struct {
	name string
	args object
}

// shellNames are the shell tools of known agents, the best first.
func shellNames() []string {
	return []string{
		"Bash", "bash", "exec_command", "shell_command", "shell", "local_shell", "run_shell_command", "Shell",
		"execute_bash", "terminal", "execute_command", "run_commands", "run_command",
	}
}

// call gives the tool call of the turn, fitted to the tools that the request declares, and false for a turn without one or a request
// that declares no tool for it.
func (t Turn) call(q query) (call, bool) {
	if t.Tool != "" {
		return call{name: t.Tool, args: t.Args}, true
	}
	if t.Command == "" {
		return call{}, false
	}
	for _, name := range shellNames() {
		i := slices.IndexFunc(q.tools, func(t tool) bool { return t.name == name && !t.custom })
		if i >= 0 {
			return call{name: name, args: arguments(q.tools[i], t.Command)}, true
		}
	}
	for _, tool := range q.tools { // any tool that takes a command
		if !tool.custom && commandParameter(tool.schema) != "" {
			return call{name: tool.name, args: arguments(tool, t.Command)}, true
		}
	}
	return call{}, false
}

// commandParameter gives the name of the parameter that takes the command.
func commandParameter(schema object) string {
	properties, _ := schema["properties"].(object)
	for _, name := range []string{"command", "cmd", "commands", "script"} {
		if _, has := properties[name]; has {
			return name
		}
	}
	return ""
}

// arguments fills in the command and whatever else the schema requires.
func arguments(t tool, command string) object {
	name := commandParameter(t.schema)
	if name == "" {
		return object{"command": command}
	}
	properties, _ := t.schema["properties"].(object)
	parameter, _ := properties[name].(object)
	args := object{name: commandValue(t.name, name, parameter, command)}
	required, _ := t.schema["required"].([]any)
	for _, r := range required {
		key := str(r)
		if _, done := args[key]; done {
			continue
		}
		property, _ := properties[key].(object)
		args[key] = filler(property)
	}
	if _, has := properties["description"]; has {
		args["description"] = "Write the file"
	}
	return args
}

func commandValue(tool, name string, schema object, command string) any {
	if kind(schema) != "array" {
		return command
	}
	if name == "commands" || strings.HasSuffix(tool, "commands") {
		return []any{command}
	}
	return []any{"bash", "-lc", command}
}

// filler gives a value that the schema allows.
func filler(schema object) any {
	if options, is := schema["enum"].([]any); is && len(options) > 0 {
		return options[0]
	}
	switch kind(schema) {
	case "boolean":
		return false
	case "integer", "number":
		return 1
	case "array":
		return []any{}
	case "object":
		return object{}
	}
	return "."
}

// kind gives the JSON type that the schema asks for, in lower case since Gemini writes STRING.
func kind(schema object) string {
	switch t := schema["type"].(type) {
	case string:
		return strings.ToLower(t)
	case []any:
		if len(t) > 0 {
			return strings.ToLower(str(t[0]))
		}
	}
	return ""
}
