package task

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

func TestResolveEnv(t *testing.T) {
	t.Parallel()
	host := func(name string) (string, bool) {
		v, ok := map[string]string{"SET": "value", "EMPTY": "", "REF": "${SET}"}[name]
		return v, ok
	}
	tests := []struct{ name, in, want, missing string }{
		{name: "a literal", in: "plain", want: "plain"},
		{name: "a variable", in: "${SET}", want: "value"},
		{name: "a variable with default", in: "${SET:-other}", want: "value"},
		{name: "a default", in: "${UNSET:-other}", want: "other"},
		{name: "an empty default", in: "${UNSET:-}", want: ""},
		{name: "a default with braces and newlines", in: "${UNSET:-{\"a\":\n1}}", want: "{\"a\":\n1}"},
		{name: "a variable that is set and empty", in: "${EMPTY:-other}", want: ""},
		{name: "no second round", in: "${REF}", want: "${SET}"},
		{name: "text around it", in: "a ${SET} b", want: "a ${SET} b"},
		{name: "two of them", in: "${SET}${SET}", want: "${SET}${SET}"},
		{name: "no braces", in: "$SET", want: "$SET"},
		{name: "an odd name", in: "${A-B}", want: "${A-B}"},
		{name: "missing", in: "${UNSET}", missing: "UNSET"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ResolveEnv(map[string]string{"KEY": tt.in, "OTHER": "x"}, host)
			if tt.missing != "" {
				if !errors.Is(err, ErrMissingVariable) || err.Error() != "value of KEY: environment variable is not set: "+tt.missing {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || !maps.Equal(got, map[string]string{"KEY": tt.want, "OTHER": "x"}) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if got, err := ResolveEnv(nil, host); err != nil || got == nil {
		t.Errorf("no variables: %v, %v", got, err)
	}
}

func TestHostVars(t *testing.T) {
	t.Parallel()
	c, _ := parse(t, `
[environment.env]
A = "${E1}"
B = "literal $X ${Y} z"
[verifier.env]
A = "${V1:-x}"
C = "${E1}"
[verifier.environment.env]
A = "${V2}"
[solution.env]
A = "${S1}"
[[steps]]
name = "a"
[steps.verifier.env]
A = "${P1}"
[steps.verifier.environment.env]
A = "${P2}"
`)
	task := Task{Config: c}
	for _, c := range []struct {
		oracle, set bool
		want        string
	}{{true, true, "E1 P1 P2 S1 V1 V2"}, {false, true, "E1 P1 P2 V1 V2"}, {false, false, "E1 P1 P2 V2"}} {
		if got := strings.Join(task.HostVars(c.oracle, func(string) bool { return c.set }), " "); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}
