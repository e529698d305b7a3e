package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Load reads the settings from environ (KEY=VALUE, as os.Environ gives them) and from the file .env in dir,
// which adds variables but replaces none. A value that cannot be used is an *Error; Warnings and Env are set all the same.
func Load(dir string, environ []string) (Config, error) {
	vars := env.ToMap(environ)
	warnings, err := addDotenv(filepath.Join(dir, ".env"), vars)
	if err != nil {
		return Config{}, err
	}
	set := make(map[string]string, len(vars))
	for k, v := range vars {
		// An empty value means "not set", as people expect of `ODDISH_X= oddish run`.
		if v != "" {
			set[k] = v
		}
	}
	c, err := env.ParseAsWithOptions[Config](env.Options{Environment: set})
	c.Env, c.Warnings = vars, warnings
	if err != nil {
		return c, settingError(err)
	}
	if c.DataDir == "" {
		c.DataDir = defaultDataDir(set)
	}
	return c, c.check()
}

// defaultDataDir follows the XDG base directory specification, under which a relative XDG_DATA_HOME is ignored.
func defaultDataDir(vars map[string]string) string {
	if xdg := vars["XDG_DATA_HOME"]; filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "oddish")
	}
	if home := vars["HOME"]; home != "" {
		return filepath.Join(home, ".local", "share", "oddish")
	}
	return ""
}

// settingError turns the parser's error, which names the field, into one that names the variable.
func settingError(err error) error {
	var all env.AggregateError
	if errors.As(err, &all) && len(all.Errors) > 0 {
		err = all.Errors[0]
	}
	var p env.ParseError
	if !errors.As(err, &p) {
		return fmt.Errorf("read settings: %w", err)
	}
	name := p.Name
	if f, ok := reflect.TypeFor[Config]().FieldByName(p.Name); ok {
		name = f.Tag.Get("env")
	}
	return &Error{Var: name, Msg: plainParseError(p.Err)}
}

// plainParseError drops the names of parsing functions from the standard library's messages.
func plainParseError(err error) string {
	msg := err.Error()
	for _, f := range []string{"strconv.ParseInt: ", "strconv.ParseBool: ", "time: "} {
		msg = strings.TrimPrefix(msg, f)
	}
	msg = strings.Replace(msg, "unable to parse duration: time: ", "", 1)
	return msg
}

// ReadDotenv reads a file of KEY=VALUE lines in the form of .env. ignored says of each line that tells nothing where it is and why.
func ReadDotenv(path string) (vars map[string]string, ignored []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	vars, bad := parseDotenv(string(data))
	for _, b := range bad {
		ignored = append(ignored, fmt.Sprintf("%s:%d is ignored: %s", path, b.line, b.msg))
	}
	return vars, ignored, nil
}

// addDotenv reads the file, if there is one, and adds to vars what they lack.
func addDotenv(path string, vars map[string]string) (warnings []string, err error) {
	entries, ignored, err := ReadDotenv(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		// A folder or an unreadable file of that name concerns another program.
		return []string{fmt.Sprintf("%s is not read: %v", path, err)}, nil
	}
	for k, v := range entries {
		if _, ok := vars[k]; !ok {
			vars[k] = v
		}
	}
	return ignored, nil
}
