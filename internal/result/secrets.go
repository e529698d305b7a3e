package result

import (
	"regexp"
	"strings"
)

// Sensitive reports whether a variable of this name holds a secret, by Harbor's rule.
func Sensitive(name string) bool {
	name = strings.ToUpper(name)
	for _, word := range []string{"KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL", "AUTH"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// MaskEnv gives env as it may be written down. A sensitive value that is a template stays, one
// equal to the host's variable of the same name becomes the template ${NAME}, and of any other
// the first four and last three characters remain, or none if it has eight or fewer.
func MaskEnv(env map[string]string, getenv func(string) (string, bool)) map[string]string {
	if env == nil {
		return nil
	}
	out := make(map[string]string, len(env))
	for name, value := range env {
		out[name] = value
		if !Sensitive(name) || isTemplate(value) {
			continue
		}
		out[name] = mask(value)
		if getenv != nil {
			if host, ok := getenv(name); ok && host == value {
				out[name] = "${" + name + "}"
			}
		}
	}
	return out
}

// maskValues masks the texts among kwargs that have a sensitive name.
func maskValues(kwargs map[string]any) map[string]any {
	if kwargs == nil {
		return nil
	}
	out := make(map[string]any, len(kwargs))
	for name, value := range kwargs {
		if text, ok := value.(string); ok && Sensitive(name) && !isTemplate(text) {
			value = mask(text)
		}
		out[name] = value
	}
	return out
}

func mask(value string) string {
	chars := []rune(value)
	if len(chars) <= 8 {
		return "****"
	}
	return string(chars[:4]) + "****" + string(chars[len(chars)-3:])
}

var template = regexp.MustCompile(`^\$\{[^}:]+(:-(?s:.*))?\}$`)

func isTemplate(value string) bool { return template.MatchString(value) }
