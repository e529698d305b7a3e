package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUnpackRefusesAttacks(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("d/", 200) + "f"
	tests := []struct {
		name    string
		members []tar.Header
		want    string // part of the error
	}{
		{"a name with dot dot", []tar.Header{file("../evil", "x")}, `".."`},
		{"a name with dot dot in the middle", []tar.Header{file("a/../../evil", "x")}, `".."`},
		{"a name that only passes through dot dot", []tar.Header{file("a/../b", "x")}, `".."`},
		{"an absolute name", []tar.Header{file("/tmp/evil", "x")}, "absolute"},
		{"a backslash", []tar.Header{file(`..\evil`, "x")}, "backslash"},
		{"a control character", []tar.Header{file("a\x1b[2Jb", "x")}, "control character"},
		{"a newline", []tar.Header{file("a\nb", "x")}, "control character"},
		{"invalid UTF-8", []tar.Header{{Name: "a\xffb", Linkname: "x", Format: tar.FormatGNU}}, "UTF-8"},
		{"a name of 4 KB", []tar.Header{file(strings.Repeat("0123456789abcde/", 256)+"f", "x")}, "longer than"},
		{"an element of 300 bytes", []tar.Header{file(strings.Repeat("n", 300), "x")}, "longer than"},
		{"folders 200 deep", []tar.Header{file(huge, "x")}, "folders deep"},
		{"the same file twice", []tar.Header{file("a", "1"), file("./a", "2")}, "twice"},
		{"a file where a folder is", []tar.Header{folder("a/"), file("a", "x")}, "folder already"},
		{"a file under a file", []tar.Header{file("a", "x"), file("a/b", "x")}, "not a folder"},
		{"a folder where a file is", []tar.Header{file("a", "x"), folder("a/")}, "not a folder"},
		{"a file in place of the folder itself", []tar.Header{file("./.", "x")}, "not a folder"},
		{"a link to an absolute path", []tar.Header{symlink("l", "/etc/passwd")}, "absolute"},
		{"a link to the outside", []tar.Header{symlink("d/l", "../../secret")}, "outside"},
		{"a link through a link to the outside", []tar.Header{symlink("a/b/up", "../.."), symlink("e/f", "../a/b/up/../secret")}, `".."`},
		{"a link with an empty target", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "\x01"}}, "unusable"},
		{"a file through a link", []tar.Header{folder("real/"), symlink("l", "real"), file("l/f", "x")}, "is a link"},
		{"a folder in place of a link", []tar.Header{folder("real/"), symlink("l", "real"), folder("l/")}, "is a link"},
		{"a hard link to the outside", []tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: "../secret"}}, "hard link"},
		{"a hard link to an absolute path", []tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: "/etc/passwd"}}, "hard link"},
		{"a hard link to nothing", []tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: "later"}, file("later", "x")}, "hard link"},
		{"a hard link to a link", []tar.Header{symlink("l", "x"), {Typeflag: tar.TypeLink, Name: "h", Linkname: "l"}}, "hard link"},
		{"a character device", []tar.Header{{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}}, "device"},
		{"a block device", []tar.Header{{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8}}, "device"},
		{"a named pipe", []tar.Header{{Typeflag: tar.TypeFifo, Name: "pipe"}}, "named pipe"},
		{"a set-user bit", []tar.Header{{Name: "su", Linkname: "x", Mode: 0o4755}}, "set-user"},
		{"a set-group bit", []tar.Header{{Name: "sg", Linkname: "x", Mode: 0o2755}}, "set-group"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, check := jail(t)
			data := archive(t, tt.members...)
			_, err := Unpack(bytes.NewReader(data), dir, UnpackOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("strict: got %v, want an error with %q", err, tt.want)
			}
			check()

			dir, check = jail(t)
			if _, err := Unpack(bytes.NewReader(data), dir, UnpackOptions{Lenient: true}); err != nil {
				t.Errorf("lenient: %v", err)
			}
			check()
		})
	}
}

func TestUnpackKeepsWhatIsWellFormed(t *testing.T) {
	t.Parallel()
	dir, check := jail(t)
	data := archive(t,
		folder("./"), folder("empty/"), file("./a.txt", "A"),
		tar.Header{Name: "bin/run", Linkname: "#!", Mode: 0o700},
		file("deep/er/f", "F"), symlink("deep/l", "../a.txt"), symlink("self", "."),
		tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "./a.txt"},
		tar.Header{Typeflag: tar.TypeDir, Name: "sgid", Mode: 0o2755},
		file("C:evil", "only a name"),
	)
	report, err := Unpack(bytes.NewReader(data), dir, UnpackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"empty/": "", "a.txt": "A", "bin/": "", "bin/run": "#!", "deep/": "", "deep/er/": "", "deep/er/f": "F",
		"deep/l": "-> ../a.txt", "self": "-> .", "hard": "A", "sgid/": "", "C:evil": "only a name",
	}
	if got := tree(t, dir); !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if report.Files != 5 || report.Bytes != int64(len("A#!FAonly a name")) {
		t.Errorf("report %+v", report)
	}
	if info, _ := os.Stat(filepath.Join(dir, "bin/run")); info.Mode() != 0o755 {
		t.Errorf("mode of the script is %v", info.Mode())
	}
	if info, _ := os.Stat(filepath.Join(dir, "sgid")); info.Mode().Perm() != 0o755 || info.Mode()&os.ModeSetgid != 0 {
		t.Errorf("mode of the folder is %v", info.Mode())
	}
	check()
}

func TestUnpackIgnoresTimes(t *testing.T) {
	t.Parallel()
	dir, _ := jail(t)
	data := archive(t,
		tar.Header{Name: "past", ModTime: time.Unix(-1<<33, 0), Format: tar.FormatGNU},
		tar.Header{Name: "future", ModTime: time.Unix(1<<40, 0), Format: tar.FormatPAX})
	if _, err := Unpack(bytes.NewReader(data), dir, UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"past", "future"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || time.Since(info.ModTime()).Abs() > time.Hour {
			t.Errorf("%s: %v, %v", name, info.ModTime(), err)
		}
	}
}

func TestUnpackHoldsItsLimits(t *testing.T) {
	t.Parallel()
	many := make([]tar.Header, 20)
	for i := range many {
		many[i] = file(fmt.Sprintf("f%02d", i), "12345")
	}
	tests := []struct {
		name      string
		members   []tar.Header
		limits    Limits
		files     int // written when lenient
		bytes     int64
		truncated int
	}{
		{"one file too big", []tar.Header{file("a", "1234567890"), file("b", "x")}, Limits{FileBytes: 4}, 2, 5, 1},
		{"all files together too big", many, Limits{Bytes: 12}, 3, 12, 1},
		{"all files together exactly full", many, Limits{Bytes: 10}, 2, 10, 0},
		{"too many files", many, Limits{Files: 7}, 7, 35, 0},
		{"hard links that multiply a file", []tar.Header{
			file("a", "1234567890"), {Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}, {Typeflag: tar.TypeLink, Name: "c", Linkname: "a"},
		}, Limits{Bytes: 25}, 3, 25, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data := archive(t, tt.members...)
			dir, _ := jail(t)
			if _, err := Unpack(bytes.NewReader(data), dir, UnpackOptions{Limits: tt.limits}); !errors.Is(err, ErrLimit) {
				t.Errorf("strict: got %v, want ErrLimit", err)
			}
			dir, _ = jail(t)
			report, err := Unpack(bytes.NewReader(data), dir, UnpackOptions{Limits: tt.limits, Lenient: true})
			if err != nil {
				t.Fatalf("lenient: %v", err)
			}
			if report.Files != tt.files || report.Bytes != tt.bytes || len(report.Truncated) != tt.truncated {
				t.Errorf("lenient: report %+v, want %d files, %d bytes, %d truncated", report, tt.files, tt.bytes, tt.truncated)
			}
		})
	}
}

func TestUnpackOfABombStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	bomb := func() io.Reader {
		r, w := io.Pipe()
		go func() { // 1 TB of zeros that never existed
			tw := tar.NewWriter(w)
			err := tw.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: 1 << 40, Typeflag: tar.TypeReg})
			zeros := make([]byte, 1<<16)
			for err == nil {
				_, err = tw.Write(zeros)
			}
			w.CloseWithError(err)
		}()
		t.Cleanup(func() { r.Close() })
		return r
	}
	dir, _ := jail(t)
	if _, err := Unpack(bomb(), dir, UnpackOptions{Limits: Limits{FileBytes: 1 << 20}}); !errors.Is(err, ErrLimit) {
		t.Errorf("strict: %v", err)
	}
	dir, _ = jail(t)
	report, err := Unpack(bomb(), dir, UnpackOptions{Lenient: true, Limits: Limits{FileBytes: 1 << 20}})
	if err != nil || report.Bytes != 1<<20 || len(report.Truncated) != 1 || len(report.Skipped) != 1 {
		t.Errorf("lenient: %+v, %v", report, err)
	}
}

func TestUnpackOfLies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		data []byte
	}{
		{"a size beyond the stream", append(rawHeader("f", '0', "00000010000\x00", "0\x00"), "short"...)},
		{"a size of 8 EB", rawHeader("f", '0', "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "0\x00")},
		{"a negative size", rawHeader("f", '0', "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "0\x00")},
		{"a sparse file of 8 EB", sparse(t)},
		{"no archive", bytes.Repeat([]byte("no tar "), 200)},
		{"data after the end", append(archive(t, file("a", "x")), "more"...)},
		{"a NUL in a name", pax(t, "path", "a\x00b")},
		{"an unknown kind", append(rawHeader("f", 'Z', "0\x00", "0\x00"), make([]byte, 1024)...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, check := jail(t)
			if _, err := Unpack(bytes.NewReader(tt.data), dir, UnpackOptions{}); err == nil {
				t.Error("no error")
			}
			check()
		})
	}
}

// pax makes a member with a hand-written extended header record.
func pax(t testing.TB, key, value string) []byte {
	t.Helper()
	body := " " + key + "=" + value + "\n"
	record := fmt.Sprintf("%d%s", len(body)+2, body)
	out := rawHeader("x", 'x', fmt.Sprintf("%011o\x00", len(record)), "0\x00")
	out = append(out, record...)
	out = append(out, make([]byte, 512-len(record)%512)...)
	out = append(out, rawHeader("f", '0', "0\x00", "0\x00")...)
	return append(out, make([]byte, 1024)...)
}

// sparse makes an old GNU sparse header that claims a file of 8 EB.
func sparse(t testing.TB) []byte {
	t.Helper()
	block := rawHeader("sparse", 'S', "00000000000\x00", "0\x00")
	copy(block[257:], "ustar  \x00")
	copy(block[386:], "77777777777\x00"+"00000000000\x00")                // one fragment without data
	copy(block[483:], "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff") // real size
	copy(block[148:], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(block, make([]byte, 1024)...)
}

func TestUnpackGzipRefusesDamage(t *testing.T) {
	t.Parallel()
	whole := gzipped(t, archive(t, file("a", strings.Repeat("content", 1000)), file("b", "x")))
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-6] ^= 1 // checksum
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "not a gzip"},
		{"not gzip", archive(t, file("a", "x")), "not a gzip"},
		{"cut in the middle", whole[:len(whole)/2], "EOF"},
		{"cut before the checksum", whole[:len(whole)-8], "EOF"},
		{"a wrong checksum", damaged, "checksum"},
		{"garbage after it", append(bytes.Clone(whole), "garbage"...), "damaged"},
		{"a second archive after it", append(bytes.Clone(whole), whole...), "after its end"},
		{"endless padding", gzipped(t, append(archive(t, file("a", "x")), make([]byte, 2<<20)...)), "after its end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, check := jail(t)
			_, err := UnpackGzip(bytes.NewReader(tt.data), dir, UnpackOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			check()
		})
	}
}

func TestUnpackErrorNamesTheMember(t *testing.T) {
	t.Parallel()
	dir, _ := jail(t)
	_, err := Unpack(bytes.NewReader(archive(t, file("good", "x"), symlink("tests/evil", "/etc/passwd"))), dir, UnpackOptions{})
	if err == nil || err.Error() != "unpack: tests/evil: link to the absolute path /etc/passwd" {
		t.Errorf("got %v", err)
	}
}

func TestLenientUnpackReportsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	dir, check := jail(t)
	report, err := Unpack(bytes.NewReader(archive(t,
		file("keep", "1"), symlink("evil", "/etc/shadow"), symlink("inner", "keep"), file("a\nb", "x"),
		tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}, tar.Header{Name: "su", Linkname: "x", Mode: 0o4755}, file("skipped", "x"),
	)), dir, UnpackOptions{Lenient: true, Skip: func(rel string) bool { return rel == "skipped" }})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range report.Skipped {
		got = append(got, s.String())
	}
	want := "evil: symbolic link|inner: symbolic link|\"a\\nb\": name contains a control character|pipe: a named pipe"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("skipped %s\nwant    %s", s, want)
	}
	if got := tree(t, dir); !maps.Equal(got, map[string]string{"keep": "1", "su": "x"}) {
		t.Errorf("tree %v", got)
	}
	if info, _ := os.Stat(filepath.Join(dir, "su")); info.Mode() != 0o755 {
		t.Errorf("mode %v", info.Mode())
	}
	check()
}

func TestUnpackReplacesFilesOfBeforeButFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir, check := jail(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("old and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"l": "../secret", "d": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Unpack(bytes.NewReader(archive(t, file("f", "new"), file("l", "new"))), dir, UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(bytes.NewReader(archive(t, file("d/evil", "x"))), dir, UnpackOptions{}); err == nil {
		t.Error("wrote through a link that was there before")
	}
	os.Remove(filepath.Join(dir, "d"))
	if got := tree(t, dir); !maps.Equal(got, map[string]string{"f": "new", "l": "new"}) {
		t.Errorf("tree %v", got)
	}
	check()
}

func TestUnpackPassesOnReadErrors(t *testing.T) {
	t.Parallel()
	dir, _ := jail(t)
	broken := errors.New("connection reset")
	data := archive(t, file("a", strings.Repeat("x", 5000)))
	r := io.MultiReader(bytes.NewReader(data[:2000]), &failing{broken})
	for _, lenient := range []bool{false, true} {
		if _, err := Unpack(r, dir, UnpackOptions{Lenient: lenient}); !errors.Is(err, broken) {
			t.Errorf("lenient %v: %v", lenient, err)
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, file("a/b", "x"), symlink("a/l", "b"), tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: "a/b"}))
	f.Add(archive(f, file("../evil", "x")))
	f.Add(archive(f, symlink("l", ".."), file("l/evil", "x")))
	f.Add(archive(f, folder("d/"), symlink("e", "d/.."), file("d", "x")))
	f.Add(pax(f, "path", "a\x00b"))
	f.Add(sparse(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, lenient := range []bool{false, true} {
			dir, check := jail(t)
			limits := Limits{Bytes: 1 << 16, Files: 50, FileBytes: 1 << 15}
			report, err := Unpack(bytes.NewReader(data), dir, UnpackOptions{Lenient: lenient, Limits: limits})
			if report.Bytes > limits.Bytes || report.Files > limits.Files {
				t.Errorf("over the limits: %+v", report)
			}
			check()
			if err != nil || lenient {
				continue
			}
			if err := Pack(io.Discard, dir, PackOptions{}); err != nil {
				t.Errorf("unpacked what cannot be packed: %v", err)
			}
		}
	})
}

func TestLinksThatStayInsideAreToldAndNotMade(t *testing.T) {
	t.Parallel()
	dir, check := jail(t)
	report, err := Unpack(bytes.NewReader(archive(t,
		file("lib/a", "A"), symlink("near", "lib/a"), symlink("lib/up", "../lib"), symlink("lib/whole", "/app/out/lib/a"), symlink("gone", "nothing"),
		symlink("out", "../secret"), symlink("passwd", "/etc/passwd"), symlink("sibling", "/app/outer/x"), symlink("wound", "/app/out/lib/../../x"), symlink("lib/deep", "../../x"),
		symlink("twice", "lib/a"), file("twice", "B"), file("lib/up/through", "C"), symlink("lib/up/more", "x"),
	)), dir, UnpackOptions{Lenient: true, LinksOf: "/app/out"})
	if err != nil {
		t.Fatal(err)
	}
	check()
	want := []Link{{"near", "lib/a"}, {"lib/up", "../lib"}, {"lib/whole", "../lib/a"}, {"gone", "nothing"}, {"twice", "lib/a"}}
	if !slices.Equal(report.Links, want) {
		t.Errorf("links are %v, want %v", report.Links, want)
	}
	if got := tree(t, dir); !maps.Equal(got, map[string]string{"lib/": "", "lib/a": "A"}) {
		t.Errorf("the folder has %v", got)
	}
	var skipped []string
	for _, s := range report.Skipped {
		skipped = append(skipped, s.Name)
	}
	if want := []string{"out", "passwd", "sibling", "wound", "lib/deep", "twice", "lib/up/through", "lib/up/more"}; !slices.Equal(skipped, want) {
		t.Errorf("left out are %v, want %v", skipped, want)
	}
}
