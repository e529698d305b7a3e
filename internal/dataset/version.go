package dataset

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// head is the version that is taken before all others when none is asked for.
const head = "head"

// newest gives the version that is meant when none is named: "head" if there is one, else the highest by PEP 440, else the last by its bytes.
func newest(versions []string) string {
	if slices.Contains(versions, head) {
		return head
	}
	var best string
	var highest *release
	for _, v := range versions {
		if r := parseRelease(v); r != nil && (highest == nil || r.compare(highest) > 0) {
			best, highest = v, r
		}
	}
	if highest != nil {
		return best
	}
	return slices.Max(versions)
}

// release is a version as PEP 440 orders them.
type release struct {
	epoch  int
	parts  []int
	suffix [4]int // kind of pre-release, its number, post-release, development release: each so that the greater is the newer
	local  string
}

var pep440 = regexp.MustCompile(`(?i)^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|alpha|b|beta|c|rc|pre|preview)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

// Ranks of the kinds of release that are not final. None is above them all, except that a development release without
// any other mark comes before everything.
const (
	rankDev  = 0
	rankA    = 1
	rankB    = 2
	rankRC   = 3
	rankNone = 4
	noNumber = int(^uint(0) >> 1)
)

// parseRelease gives nil for what is no version of PEP 440.
func parseRelease(text string) *release {
	m := pep440.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return nil
	}
	r := &release{epoch: number(m[1]), local: strings.ToLower(m[10]), suffix: [4]int{rankNone, 0, -1, noNumber}}
	for part := range strings.SplitSeq(m[2], ".") {
		r.parts = append(r.parts, number(part))
	}
	for len(r.parts) > 1 && r.parts[len(r.parts)-1] == 0 {
		r.parts = r.parts[:len(r.parts)-1]
	}
	post := m[5] != "" || m[6] != ""
	switch {
	case m[3] != "":
		r.suffix[0], r.suffix[1] = preRank(m[3]), number(m[4])
	case m[8] != "" && !post:
		r.suffix[0] = rankDev
	}
	if post {
		r.suffix[2] = number(m[5] + m[7])
	}
	if m[8] != "" {
		r.suffix[3] = number(m[9])
	}
	return r
}

func preRank(kind string) int {
	switch strings.ToLower(kind)[0] {
	case 'a':
		return rankA
	case 'b':
		return rankB
	}
	return rankRC
}

// number reads digits; none are 0, and more than fit are the most there is.
func number(digits string) int {
	if digits == "" {
		return 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return noNumber
	}
	return n
}

func (r *release) compare(o *release) int {
	return cmp.Or(cmp.Compare(r.epoch, o.epoch), slices.Compare(r.parts, o.parts), slices.Compare(r.suffix[:], o.suffix[:]), cmp.Compare(r.local, o.local))
}
