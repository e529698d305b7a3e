package dockerfile

import "testing"

func TestExtensionsAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{ // the line, 0: none
		"FROM a\nRUN echo --mount\nCOPY --from=x --chown=1 a b\n": 0,
		"FROM a\nRUN cat <file >b\nRUN echo $((1<<3))\n":          0,
		"FROM a\nRUN --mount=type=cache,target=/c true\n":         2,
		"FROM a\n  copy --from=x --chmod=755 a b\n":               2,
		"FROM a\nCOPY --link a b\n":                               2,
		"FROM a\nRUN <<EOF\ntrue\nEOF\n":                          2,
		"FROM a\nCOPY <<\"EOF\" /x\nEOF\n":                        2,
		"# syntax=docker/dockerfile:1\nFROM a\n":                  1,
		"FROM a\n# RUN --mount=type=cache\n":                      0,
	} {
		what, line, needs := NeedsBuildKit([]byte(text))
		if line != want || needs != (want > 0) || needs == (what == "") {
			t.Errorf("%q: %q in line %d", text, what, line)
		}
	}
}
