package dockerfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func TestADockerfileIsReadInStages(t *testing.T) {
	t.Parallel()
	f, err := Parse("Dockerfile", strings.NewReader("ARG A=1\nARG B\nFROM x AS one\nRUN a\n\nFROM one\nCOPY b c\nUSER d\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Args) != 2 || len(f.Stages) != 2 || f.Stages[0].Name != "one" || len(f.Stages[1].Commands) != 2 || f.Escape != '\\' {
		t.Errorf("read %+v", f)
	}
	if got := Line(f.Stages[1].Commands[1]); got != 8 {
		t.Errorf("USER is in line %d", got)
	}
}

func TestWhatIsWrongOrNotSupportedIsToldWithItsPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "Dockerfile: it is empty"},
		"no FROM":             {"# only words\nARG X=1\n", "Dockerfile: it has no FROM"},
		"before FROM":         {"\nRUN x\nFROM y\n", "Dockerfile:2: no build stage in current context"},
		"unknown instruction": {"FROM x\n\nCOPPY a b\n", "Dockerfile:3: unknown instruction: COPPY (did you mean COPY?)"},
		"unknown flag":        {"FROM x\nCOPY --chwon=a b c\n", "Dockerfile:2: unknown flag: --chwon"},
		"too few words":       {"FROM x\nCOPY a\n", "Dockerfile:2: COPY requires at least two arguments"},
		"ssh":                 {"FROM x\nRUN --mount=type=ssh git clone y\n", "Dockerfile:2: RUN --mount=type=ssh is not supported"},
		"a secret":            {"FROM x\nRUN --mount=type=secret,id=a,required=true y\n", "Dockerfile:2: RUN --mount=type=secret,required"},
		"a filled cache":      {"FROM x\nRUN --mount=type=cache,from=y,target=/y z\n", "Dockerfile:2: RUN --mount=type=cache,from=… is not supported"},
		"writable bind":       {"FROM x\nRUN --mount=type=bind,target=/y,rw z\n", "Dockerfile:2: RUN --mount=type=bind,rw"},
		"host network":        {"FROM x\nRUN --network=host y\n", "Dockerfile:2: RUN --network=host"},
		"insecure":            {"FROM x\nRUN --security=insecure y\n", "Dockerfile:2: RUN --security=insecure"},
		"parents":             {"FROM x\nCOPY --parents a b\n", "Dockerfile:2: COPY --parents"},
		"git":                 {"FROM x\nADD https://example.com/r.git /r\n", "Dockerfile:2: ADD of a git repository"},
		"too large":           {"FROM x\n#" + strings.Repeat("x", maxSize), "Dockerfile: it is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("Dockerfile", strings.NewReader(c.text))
			var is *Error
			if !errors.As(err, &is) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestTriggersOfAnImageAreInstructions(t *testing.T) {
	t.Parallel()
	all, err := Triggers("base", []string{"RUN x", "COPY a b"})
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	if _, is := all[1].(*instructions.CopyCommand); !is {
		t.Errorf("got %T", all[1])
	}
	if _, err := Triggers("base", []string{"NOTHING x"}); err == nil || !strings.HasPrefix(err.Error(), "ONBUILD of base:2: unknown instruction") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse: whatever is read, it ends, with stages or an error that has a place in the file.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"FROM x\nRUN <<EOF\na\nEOF\n", "# escape=`\nFROM x\nRUN a `\n b\n", "FROM --platform=$A x AS y\nCOPY --from=y --chown=1:2 a* b/\n",
		"ARG X=${Y:-z}\nFROM $X\nENV a=b c=\"d e\" f=\\ g\nHEALTHCHECK --interval=1s CMD [\"a\"]\n", "FROM x\nONBUILD RUN y\nSHELL [\"a\",\"b\"]\nRUN --mount=type=cache,target=/a,sharing=locked b\n",
		"FROM x\nADD --checksum=sha256:aa https://example.com/a /b\nCOPY <<a <<-\"b\" /c\nx\na\n\ty\nb\n", "\ufeffFROM x\r\nRUN a\\\r\nb\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("Dockerfile", strings.NewReader(text))
		if err == nil {
			if len(file.Stages) == 0 {
				t.Error("no stages and no error")
			}
			return
		}
		var is *Error
		if !errors.As(err, &is) || is.Line < 0 || is.Line > strings.Count(text, "\n")+1 {
			t.Errorf("error without a place: %v", err)
		}
	})
}
