package imagebuild

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"oddish/internal/image"
)

// zero is a time that no file has.
var zero = time.Unix(0, 0)

// scripted is a Runner without a sandbox: a command leaves a file /ran with its words, or fails if it is to.
type scripted struct {
	mu       sync.Mutex
	commands []Command
	exit     int
	err      error
}

func (r *scripted) Run(_ context.Context, _ image.Image, c Command) (int, io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands = append(r.commands, c)
	fmt.Fprintln(c.Output, "the command says why")
	if r.exit != 0 || r.err != nil {
		return r.exit, nil, r.err
	}
	l := &layer{}
	l.text(fmt.Sprintf("/ran-%d", len(r.commands)), strings.Join(c.Argv, " "), 0o644, owner{})
	stream, err := l.stream(context.Background())
	return 0, stream, err
}

// fixture is a store, and a folder with the files of a txtar archive.
type fixture struct {
	*Builder
	runner *scripted
	dir    string
}

func newFixture(t *testing.T, files string) *fixture {
	t.Helper()
	store, err := image.Open(image.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{runner: &scripted{}, dir: t.TempDir()}
	f.Builder = &Builder{Store: store, Runner: f.runner}
	f.write(t, files)
	return f
}

func (f *fixture) write(t *testing.T, files string) {
	t.Helper()
	for _, file := range txtar.Parse([]byte(files)).Files {
		path := filepath.Join(f.dir, file.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fixture) build(t *testing.T, change ...func(*Options)) image.Image {
	t.Helper()
	img, err := f.try(t, change...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func (f *fixture) try(t *testing.T, change ...func(*Options)) (image.Image, error) {
	o := Options{Context: f.dir}
	for _, c := range change {
		c(&o)
	}
	return f.Build(t.Context(), o)
}

func content(t *testing.T, img image.Image, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(img.Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVariablesHaveTheValuesThatDockerGivesThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `
-- Dockerfile --
ARG BASE=scratch
ARG GLOBAL=g
FROM $BASE
ARG GLOBAL
ARG OWN=own GIVEN=default
ARG NONE
ENV OWN=env PATH=/x:$PATH
RUN ["show", "$OWN"]
WORKDIR /w/${GIVEN}
LABEL all="$GLOBAL $OWN $GIVEN $NONE $TARGETARCH"
ARG TARGETARCH
USER ${GIVEN}
EXPOSE 80 $PORT
CMD run $X
`)
	img := f.build(t, func(o *Options) { o.Args = map[string]string{"GIVEN": "given", "UNDECLARED": "x"} })
	c := f.runner.commands[0]
	if got := fmt.Sprintf("%v %v %v", c.Argv, c.Env, c.Dir); got != "[show $OWN] map[GIVEN:given GLOBAL:g] /" {
		t.Errorf("the command was %s", got)
	}
	got := fmt.Sprintf("%v %v %v %v %v", img.Config.Env, img.Config.WorkingDir, img.Config.Labels, img.Config.User, img.Config.Cmd)
	want := "[OWN=env PATH=/x:] /w/given map[all:g env given  ] given [/bin/sh -c run $X]"
	if got != want {
		t.Errorf("the configuration is\n%s, want\n%s", got, want)
	}
}

func TestAnInstructionIsCarriedOutAgainOnlyIfWhatItDependsOnChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `
-- Dockerfile --
FROM scratch
ARG A=1
RUN first
COPY f /f
RUN second
-- f --
one
`)
	ran := func(change ...func(*Options)) int {
		before := len(f.runner.commands)
		f.build(t, change...)
		return len(f.runner.commands) - before
	}
	if got := ran(); got != 2 {
		t.Errorf("at first %d", got)
	}
	if got := ran(); got != 0 {
		t.Errorf("again %d", got)
	}
	if got := ran(func(o *Options) { o.Args = map[string]string{"A": "2"} }); got != 2 {
		t.Errorf("with another argument %d", got)
	}
	if got := ran(func(o *Options) { o.NoCache = true }); got != 2 {
		t.Errorf("without cache %d", got)
	}
	f.write(t, "-- f --\ntwo\n")
	if got := ran(); got != 1 {
		t.Errorf("with another file %d", got)
	}
	if err := os.Chtimes(filepath.Join(f.dir, "f"), zero, zero); err != nil {
		t.Fatal(err)
	}
	if got := ran(); got != 0 {
		t.Errorf("with another time of the file %d", got)
	}
}

func TestStagesThatNothingNeedsAreNotBuilt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `
-- Dockerfile --
FROM scratch AS a
RUN a
FROM scratch AS unneeded
RUN unneeded
FROM a AS b
COPY --from=0 /ran-1 /copied
`)
	img := f.build(t)
	if len(f.runner.commands) != 1 || content(t, img, "copied") != "/bin/sh -c a" {
		t.Errorf("ran %v", f.runner.commands)
	}
}

func TestWhatFailsIsToldWithPlaceAndOutput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files string
		exit  int
		err   error
		want  string
		lasts bool // another try would be of no use
	}{
		"a command":          {files: "FROM scratch\nRUN a \\\n b", exit: 3, want: "Dockerfile:2: RUN a  b: exit status 3\nthe command says why", lasts: true},
		"the machine":        {files: "FROM scratch\nRUN a", err: errors.New("no room"), want: "no room"},
		"no such file":       {files: "FROM scratch\nWORKDIR /\nCOPY nothing /", want: "Dockerfile:3: nothing is not in the build's context", lasts: true},
		"an ignored file":    {files: "FROM scratch\nCOPY ignored /", want: "Dockerfile:2: ignored is not in the build's context: .dockerignore leaves it out", lasts: true},
		"a path that leaves": {files: "FROM scratch\nCOPY ../../etc/passwd /", want: "Dockerfile:2: ../../etc/passwd is not in the build's context", lasts: true},
		"no such stage":      {files: "FROM scratch\nCOPY --from=NoNe /a /b", want: `Dockerfile:2: there is no stage "NoNe"`, lasts: true},
		"a later stage":      {files: "FROM scratch\nCOPY --from=1 /a /b\nFROM scratch\nCOPY --from=0 / /", want: "Dockerfile:2: stage 1 comes later", lasts: true},
		"no such user":       {files: "FROM scratch\nCOPY --chown=me file /", want: `Dockerfile:2: --chown=me: the image has no etc/passwd to find "me" in`, lasts: true},
		"letters for a mode": {files: "FROM scratch\nCOPY --chmod=u+x file /", want: "Dockerfile:2: --chmod=u+x: only octal numbers", lasts: true},
		"an empty FROM":      {files: "ARG X\nFROM $X\nRUN a", want: "Dockerfile:2: FROM $X names nothing", lasts: true},
		"an empty file":      {files: " ", want: "Dockerfile: it is empty", lasts: true},
		"a bad variable":     {files: "FROM scratch\nENV A=${B", want: "Dockerfile:2: ", lasts: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "-- Dockerfile --\n"+c.files+"\n-- .dockerignore --\nignored\n-- ignored --\n-- file --\n")
			f.runner.exit, f.runner.err = c.exit, c.err
			_, err := f.try(t)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || errors.Is(err, ErrFailed) != c.lasts {
				t.Errorf("got %v (lasts: %v), want %s", err, errors.Is(err, ErrFailed), c.want)
			}
			left, globErr := filepath.Glob(filepath.Join(f.Store.Dir(), "chains", "*.new"))
			if globErr != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, globErr)
			}
		})
	}
}

func TestLinksOfAContextLeadNowhereElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "-- Dockerfile --\nFROM scratch\nCOPY in /in\nCOPY tree /tree\n-- real --\nr\n-- tree/f --\n")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"in": "real", "tree/out": secret} {
		if err := os.Symlink(to, filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	img := f.build(t)
	if got := content(t, img, "in"); got != "r\n" {
		t.Errorf("a link that is named is followed: %q", got)
	}
	if to, err := os.Readlink(filepath.Join(img.Root, "tree/out")); err != nil || to != secret {
		t.Errorf("a link in a folder stays one: %q, %v", to, err)
	}
	f.write(t, "-- Dockerfile --\nFROM scratch\nCOPY tree/out /out\n")
	if _, err := f.try(t); !errors.Is(err, ErrFailed) {
		t.Errorf("a link out of the context was followed: %v", err)
	}
}

func TestAddUnpacksArchivesWithinItsDestination(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "-- Dockerfile --\nFROM scratch\nADD a.tgz plain /to/\n-- plain --\np\n")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range []tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700}, {Name: "d/f", Typeflag: tar.TypeReg, Mode: 0o640, Uid: os.Geteuid()},
		{Name: "../../escaped", Typeflag: tar.TypeReg}, {Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/"}, {Name: "l/through", Typeflag: tar.TypeReg},
		{Name: "hard", Typeflag: tar.TypeLink, Linkname: "d/f"}, {Name: ".wh.plain", Typeflag: tar.TypeReg}, {Name: "dev", Typeflag: tar.TypeChar},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), os.WriteFile(filepath.Join(f.dir, "a.tgz"), b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	img := f.build(t)
	entries, err := os.ReadDir(filepath.Join(img.Root, "to"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"d", "escaped", "hard", "l", "plain"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if _, err := os.Stat(filepath.Join(img.Root, "through")); err != nil {
		t.Errorf("what goes through a link to / is in the image's root: %v", err)
	}
}

func TestAddFetchesAndChecksWhatItFetched(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "fetched")
	}))
	t.Cleanup(server.Close)
	f := newFixture(t, "-- Dockerfile --\nFROM scratch\nADD "+server.URL+"/dir/file?x=1 /to/\n")
	if got := content(t, f.build(t), "to/file"); got != "fetched" {
		t.Errorf("got %q", got)
	}
	f.write(t, "-- Dockerfile --\nFROM scratch\nADD --checksum=sha256:00 "+server.URL+"/a /a\n")
	if _, err := f.try(t); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "has the digest sha256:") {
		t.Errorf("another digest: %v", err)
	}
	f.write(t, "-- Dockerfile --\nFROM scratch\nADD "+server.URL+"/gone /a\n")
	if _, err := f.try(t); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "404") {
		t.Errorf("not there: %v", err)
	}
	server.Close()
	if _, err := f.try(t); err == nil || errors.Is(err, ErrFailed) {
		t.Errorf("a server that is away is no fault of the Dockerfile: %v", err)
	}
}

func TestMountsOfARunAreShownToItAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, `
-- Dockerfile --
FROM scratch AS other
COPY data/d /o/d
FROM scratch
WORKDIR /w
RUN --mount=type=bind,source=data,target=in --mount=type=bind,from=other,source=/o/d,target=/d --mount=type=cache,target=/c,id=k,mode=0700 --mount=type=tmpfs,target=/t x
-- data/d --
`)
	img := f.build(t)
	m := f.runner.commands[0].Mounts
	slices.SortFunc(m, func(a, b Mount) int { return strings.Compare(a.Target, b.Target) })
	if len(m) != 4 || m[0].Target != "/c" || !m[0].Writable || m[1].Target != "/d" || filepath.Base(m[1].Source) != "d" || m[2] != (Mount{Target: "/t"}) ||
		m[3] != (Mount{Source: filepath.Join(f.dir, "data"), Target: "/w/in"}) {
		t.Errorf("mounts %+v", m)
	}
	for _, name := range []string{"w/in", "d", "c", "t"} { // as in docker, their places stay
		if _, err := os.Stat(filepath.Join(img.Root, name)); err != nil {
			t.Error(err)
		}
	}
	f.write(t, "-- data/d --\nother\n")
	if f.build(t); len(f.runner.commands) != 2 {
		t.Error("a file that is shown has changed, and the command was not run again")
	}
}

func TestAnotherMountOfARunIsAnotherStep(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	for i, flag := range []string{"", "--mount=type=cache,target=/c", "--mount=type=cache,target=/c,id=other", "--mount=type=tmpfs,target=/c"} {
		f.write(t, "-- Dockerfile --\nFROM scratch\nWORKDIR /c\nRUN "+flag+" x\n")
		f.build(t)
		if got := len(f.runner.commands); got != i+1 {
			t.Errorf("%q: %d commands were run, want %d", flag, got, i+1)
		}
	}
}

func TestManyBuildsOfOneAtOnceRunItsCommandsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "-- Dockerfile --\nFROM scratch\nRUN x\nRUN y\n")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := f.try(t); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(f.runner.commands); got != 2 {
		t.Errorf("ran %d commands", got)
	}
}
