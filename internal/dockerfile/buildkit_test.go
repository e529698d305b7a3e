package dockerfile

import "testing"

func TestExtensionsAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"FROM a\nRUN echo --mount\nCOPY --from=x --chown=1 a b\n": false,
		"FROM a\nRUN cat <file >b\nRUN echo $((1<<3))\n":          false,
		"FROM a\nRUN --mount=type=cache,target=/c true\n":         true,
		"FROM a\n  copy --from=x --chmod=755 a b\n":               true,
		"FROM a\nCOPY --link a b\n":                               true,
		"FROM a\nRUN <<EOF\ntrue\nEOF\n":                          true,
		"FROM a\nCOPY <<\"EOF\" /x\nEOF\n":                        true,
		"# syntax=docker/dockerfile:1\nFROM a\n":                  true,
		"FROM a\n# RUN --mount=type=cache\n":                      false,
	} {
		if got := NeedsBuildKit([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
