package tarball

import "fmt"

// Limits that hold where a field of Limits is zero.
const (
	DefaultBytes     int64 = 2 << 30  // of all files together, 2 GiB
	DefaultFiles     int   = 100_000  // members of any kind
	DefaultFileBytes int64 = 1 << 30  // of one file, 1 GiB
	DefaultNameBytes int   = 32 << 20 // of all names together, 32 MiB
)

// maxDropped bounds what is read past the ends of files that were cut.
const maxDropped int64 = 64 << 30

// Limits bounds what an archive may unpack to, counted after decompression: how well it is
// compressed does not matter. A zero field means its default.
type Limits struct {
	Bytes     int64 // of all files together
	Files     int   // members of any kind, also those that are skipped
	FileBytes int64 // of one file
	NameBytes int   // of all names together, which are kept in memory
}

func (l Limits) orDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = DefaultBytes
	}
	if l.Files == 0 {
		l.Files = DefaultFiles
	}
	if l.FileBytes == 0 {
		l.FileBytes = DefaultFileBytes
	}
	if l.NameBytes == 0 {
		l.NameBytes = DefaultNameBytes
	}
	return l
}

// UnpackOptions says how an archive is unpacked. The zero value is strict, with the default limits.
type UnpackOptions struct {
	Limits Limits
	// Skip leaves out members by their clean relative name, without a word in the Report. Nil: none.
	Skip func(rel string) bool
	// Lenient is for what comes out of a sandbox: members that are an error otherwise, and
	// symbolic links of every kind, are left out, files over the limit are cut, and
	// the Report says so. Only a damaged stream and a failing disk are errors then.
	Lenient bool
	// LinksOf is, for a lenient Unpack, the absolute path that the folder had where the archive was made. If it is set, symbolic links that stay inside
	// of the folder, also those by absolute paths, are told in Report.Links. They are not made, so that nothing ever follows one.
	LinksOf string
}

// Report says what Unpack did.
type Report struct {
	Files     int      // regular files written
	Bytes     int64    // their content
	Skipped   []Skip   // left out, in order; only when lenient
	Truncated []string // cut at a limit, by name; only when lenient
	Links     []Link   // that stay inside, in order; only when UnpackOptions.LinksOf is set
}

// Link is a symbolic link that stays inside of its folder.
type Link struct {
	Name   string `json:"name"`   // clean, slash-separated, relative to the folder
	Target string `json:"target"` // relative to the link's own folder
}

// Skip is a member that was left out.
type Skip struct {
	Name   string // as in the archive; quoted if it cannot be shown as it is
	Reason string
}

// String gives "name: reason".
func (s Skip) String() string { return fmt.Sprintf("%s: %s", s.Name, s.Reason) }
