package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/pelletier/go-toml/v2"

	"oddish/api"
)

// readMCPConfigs reads files of tool servers; of those with the same name the last counts.
func (a *App) readMCPConfigs(paths []string) ([]api.MCPServer, error) {
	var servers []api.MCPServer
	for _, p := range paths {
		list, dropped, err := readMCPConfig(a.path(p))
		if err != nil {
			return nil, usagef("--mcp-config %s: %v", p, err)
		}
		if len(dropped) > 0 {
			a.warn("%s: %s of tool servers are not used", p, strings.Join(dropped, " and "))
		}
		for _, s := range list {
			servers = append(slices.DeleteFunc(servers, func(other api.MCPServer) bool { return other.Name == s.Name }), s)
		}
	}
	return servers, nil
}

// readMCPConfig reads tool servers in any of the forms that are in use: {mcpServers: {NAME: {...}}} as of Claude Code, {mcp_servers: ...}
// with a list or the same, and {environment: {mcp_servers: ...}} as of a task. Dropped are keys that have no meaning here.
func readMCPConfig(path string) (servers []api.MCPServer, dropped []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	var file map[string]any
	switch ending := strings.ToLower(filepath.Ext(path)); ending {
	case ".json":
		err = json.Unmarshal(data, &file)
	case ".yaml", ".yml":
		err = yaml.Unmarshal(data, &file)
	case ".toml":
		err = toml.Unmarshal(data, &file)
	default:
		return nil, nil, fmt.Errorf("the name ends in %q: want .json, .yaml, .yml or .toml", ending)
	}
	if err != nil {
		return nil, nil, err
	}
	entries, err := mcpEntries(file)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		server, more, err := mcpServer(entry)
		if err != nil {
			return nil, nil, err
		}
		servers, dropped = append(servers, server), append(dropped, more...)
	}
	slices.Sort(dropped)
	return servers, slices.Compact(dropped), nil
}

// mcpEntries finds the servers, each with its name in it.
func mcpEntries(file map[string]any) ([]map[string]any, error) {
	value, found := file["mcpServers"]
	if !found {
		value, found = file["mcp_servers"]
	}
	if environment, is := file["environment"].(map[string]any); !found && is {
		value, found = environment["mcp_servers"]
	}
	var entries []map[string]any
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			entry, is := value[name].(map[string]any)
			if !is {
				return nil, fmt.Errorf("tool server %s is no object", name)
			}
			entry = maps.Clone(entry)
			entry["name"] = name
			entries = append(entries, entry)
		}
	case []any:
		for i, e := range value {
			entry, is := e.(map[string]any)
			if !is {
				return nil, fmt.Errorf("tool server %d is no object", i+1)
			}
			entries = append(entries, entry)
		}
	}
	if !found || len(entries) == 0 {
		return nil, errors.New("has no tool servers: want mcpServers, mcp_servers or environment.mcp_servers")
	}
	return entries, nil
}

// mcpServer reads one server. Without a transport (or type) it is stdio if it has a command, and else what a task takes it for.
func mcpServer(entry map[string]any) (s api.MCPServer, dropped []string, err error) {
	for _, key := range slices.Sorted(maps.Keys(entry)) {
		value := entry[key]
		text, isText := value.(string)
		switch key {
		case "name":
			s.Name = text
		case "transport", "type":
			s.Transport = text
		case "url":
			s.URL = text
		case "command":
			s.Command = text
		case "args":
			isText = true
			list, _ := value.([]any)
			for _, arg := range list {
				s.Args = append(s.Args, fmt.Sprint(arg))
			}
		default:
			isText = true
			dropped = append(dropped, key)
		}
		if !isText {
			return s, nil, fmt.Errorf("tool server %v: %s is no text", entry["name"], key)
		}
	}
	switch s.Transport {
	case "http", "streamable_http":
		s.Transport = "streamable-http"
	case "":
		s.Transport = "sse"
		if s.Command != "" {
			s.Transport = "stdio"
		}
	case "stdio", "sse", "streamable-http":
	default:
		return s, nil, fmt.Errorf("tool server %s: transport %q is none of stdio, sse and streamable-http", s.Name, s.Transport)
	}
	if s.Name == "" {
		return s, nil, errors.New("a tool server has no name")
	}
	return s, dropped, nil
}
