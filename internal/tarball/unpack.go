package tarball

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// ErrLimit is wrapped by the errors of Unpack that say that an archive is too big.
var ErrLimit = errors.New("archive is too big")

// trailerBytes is how much padding may follow the end of the archive.
const trailerBytes = 1 << 20

// Unpack extracts a tar stream into dir, which is made if absent. Nothing is ever written
// outside of dir, whatever the stream contains. A regular file that was there before is replaced.
//
// Folders get the mode 0755 and files 0644 or 0755; owners, times and all other mode bits are dropped,
// except that a file with a set-user or set-group bit is refused. Hard links to files of the same
// archive become copies. Names that are absolute, contain "..", a backslash, a control character
// or invalid UTF-8, are longer than 1024 bytes or 100 folders deep, names that occur twice,
// names that lead through a link, links that leave dir, devices, pipes and everything beyond the limits are an
// error naming the member; see UnpackOptions.Lenient for the other way. After an error, dir
// holds what was extracted until then, and Report describes it.
//
// When a lenient Unpack has reached a limit it returns without reading r to its end: a
// caller that feeds r from a pipe closes it afterwards.
func Unpack(r io.Reader, dir string, o UnpackOptions) (Report, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Report{}, fmt.Errorf("unpack: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	u := unpacker{
		root: root, limits: o.Limits.orDefault(), skip: o.Skip, lenient: o.Lenient, linksOf: o.LinksOf,
		seen: map[string]bool{}, folders: map[string]bool{".": true},
	}
	if err := u.run(r); err != nil {
		return u.report, fmt.Errorf("unpack: %w", err)
	}
	return u.report, nil
}

// UnpackGzip is Unpack of a tar.gz. Truncated and damaged streams, and data after the end, are errors.
func UnpackGzip(r io.Reader, dir string, o UnpackOptions) (Report, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return Report{}, fmt.Errorf("unpack: not a gzip archive: %w", err)
	}
	defer z.Close()
	return Unpack(z, dir, o)
}

// refusal is why a member is not extracted: fatal when strict, a Skip when lenient.
type refusal struct{ err error }

func (r refusal) Error() string { return r.err.Error() }
func (r refusal) Unwrap() error { return r.err }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// errFull ends a lenient Unpack at a limit of the whole archive.
var errFull = errors.New("limit reached")

type unpacker struct {
	root    *os.Root
	limits  Limits
	skip    func(string) bool
	lenient bool
	linksOf string
	report  Report

	seen    map[string]bool // non-folders met so far, also links that are only told; true: a regular file that was written
	folders map[string]bool // known to be real folders
	members int
	names   int   // bytes of all names
	dropped int64 // bytes read and thrown away
}

func (u *unpacker) run(r io.Reader) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return u.trailer(r)
		}
		if err != nil {
			return fmt.Errorf("damaged archive: %w", err)
		}
		err = u.member(h, tr)
		if errors.Is(err, errFull) {
			return nil
		}
		var no refusal
		if errors.As(err, &no) && u.lenient {
			u.report.Skipped = append(u.report.Skipped, Skip{printable(h.Name), no.Error()})
			err = nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", printable(h.Name), err)
		}
	}
}

// trailer reads the padding after the end mark, so that a compressed stream is checked to
// its end and a pipe is drained.
func (u *unpacker) trailer(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, trailerBytes+1))
	if err != nil {
		return fmt.Errorf("damaged archive: %w", err)
	}
	if u.lenient {
		return nil
	}
	if len(data) > trailerBytes {
		return errors.New("damaged archive: data after its end")
	}
	for _, b := range data {
		if b != 0 {
			return errors.New("damaged archive: data after its end")
		}
	}
	return nil
}

// member extracts one member.
func (u *unpacker) member(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if err := u.count(h); err != nil {
		return err
	}
	name, err := cleanName(h.Name)
	if err != nil {
		return refusal{err}
	}
	if u.skip != nil && u.skip(name) {
		return nil
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.folder(name)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.file(name, h, content)
	case tar.TypeSymlink:
		return u.link(name, h.Linkname)
	case tar.TypeLink:
		return u.hardLink(name, h)
	}
	return refuse("%s", kindOf(h.FileInfo().Mode()))
}

// count holds the limits that do not depend on contents.
func (u *unpacker) count(h *tar.Header) error {
	u.members++
	u.names += len(h.Name)
	if u.members > u.limits.Files {
		return u.full(h, "more than %d files", u.limits.Files)
	}
	if u.names > u.limits.NameBytes {
		return u.full(h, "more than %d bytes of names", u.limits.NameBytes)
	}
	return nil
}

// full gives the error for an archive that is over one of its limits at member h.
func (u *unpacker) full(h *tar.Header, format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	if !u.lenient {
		return fmt.Errorf("%w: %s", ErrLimit, reason)
	}
	u.report.Skipped = append(u.report.Skipped, Skip{printable(h.Name), reason + ": it and all that follow are left out"})
	return errFull
}

// printable quotes a name that would garble a terminal or a log line, and shortens a long one.
func printable(name string) string {
	if len(name) > maxNameBytes {
		name = name[:100] + "..."
	}
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}
