package dockerfile

import (
	"slices"
	"strings"
	"testing"
)

func TestImagesOfADockerfile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"FROM a\n": {"a"},
		"FROM a AS one\nFROM one\nCOPY --from=one /x /x\nCOPY --from=0 /x /x\nCOPY --from=b:2 /x /x\n":                      {"a", "b:2"},
		"ARG V=1\nARG B=base:$V\nFROM ${B}\nFROM base:1\nFROM $NONE\nFROM scratch\n":                                        {"base:1"},
		"FROM a\nRUN --mount=type=bind,from=tools:1,target=/t --mount=type=cache,target=/c true\n":                          {"a", "tools:1"},
		"FROM a-$TARGETARCH\nRUN --security=insecure true\nCOPY --parents x /x\nCOPY --from=later /x /x\nFROM b AS later\n": {"a-amd64", "b"},
	} {
		f, err := Read("Dockerfile", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Images(map[string]string{"TARGETARCH": "amd64"}); !slices.Equal(got, want) {
			t.Errorf("%q has the images %q, want %q", text, got, want)
		}
	}
}
