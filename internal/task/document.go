package task

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a parsed TOML file that knows where each of its keys stands.
type document struct {
	values    map[string]any
	positions map[string]position // by path: a.b, steps[0].name
}

// position is a place in the file; both numbers start at 1.
type position struct{ line, column int }

// parseDocument reads TOML. A syntax error is an *Error.
func parseDocument(data []byte) (*document, error) {
	if !utf8.Valid(data) {
		return nil, &Error{File: ConfigFile, Msg: "is not UTF-8 text"}
	}
	d := &document{positions: map[string]position{}}
	if err := toml.Unmarshal(data, &d.values); err != nil {
		var de *toml.DecodeError
		if !errors.As(err, &de) {
			return nil, &Error{File: ConfigFile, Msg: "not valid TOML: " + err.Error()}
		}
		line, column := de.Position()
		return nil, &Error{File: ConfigFile, Line: line, Column: column, Msg: "not valid TOML: " + syntaxMessage(de)}
	}
	locate(data, d.positions)
	return d, nil
}

func syntaxMessage(de *toml.DecodeError) string {
	msg := strings.TrimPrefix(de.Error(), "toml: ")
	if key := de.Key(); len(key) > 0 && !strings.Contains(msg, strings.Join(key, ".")) {
		msg += " (at " + strings.Join(key, ".") + ")"
	}
	return msg
}

// locate fills positions from a file that is known to be valid.
func locate(data []byte, positions map[string]position) {
	l := locator{positions: positions, arrays: map[string]int{}, lines: []int{0}}
	for i, b := range data {
		if b == '\n' {
			l.lines = append(l.lines, i+1)
		}
	}
	l.parser.Reset(data)
	scope := ""
	for l.parser.NextExpression() {
		switch e := l.parser.Expression(); e.Kind {
		case unstable.Table:
			scope = l.keys("", e.Key())
		case unstable.ArrayTable:
			scope = l.arrayTable(e)
		case unstable.KeyValue:
			l.keyValue(scope, e)
		}
	}
}

type locator struct {
	parser    unstable.Parser
	positions map[string]position
	arrays    map[string]int // elements of each array of tables so far
	lines     []int          // offset of the beginning of each line
}

// keys records a dotted key below scope and gives its path. Inside arrays of tables it
// means the newest element.
func (l *locator) keys(scope string, it unstable.Iterator) string {
	path := scope
	for it.Next() {
		path = join(path, string(it.Node().Data))
		l.record(path, it.Node())
		if n := l.arrays[path]; n > 0 && !it.IsLast() {
			path = index(path, n-1)
		}
	}
	if n := l.arrays[path]; n > 0 {
		path = index(path, n-1)
	}
	return path
}

// arrayTable records a [[header]] and gives the path of the element that it opens.
func (l *locator) arrayTable(e *unstable.Node) string {
	path, it := "", e.Key()
	var last *unstable.Node
	for it.Next() {
		path, last = join(path, string(it.Node().Data)), it.Node()
		l.record(path, last)
		if n := l.arrays[path]; n > 0 && !it.IsLast() {
			path = index(path, n-1)
		}
	}
	element := index(path, l.arrays[path])
	l.arrays[path]++
	l.record(element, last)
	return element
}

func (l *locator) keyValue(scope string, e *unstable.Node) {
	l.value(l.keys(scope, e.Key()), e.Value())
}

// value records what is inside an inline table or an array.
func (l *locator) value(path string, v *unstable.Node) {
	children := v.Children()
	switch v.Kind {
	case unstable.InlineTable:
		for children.Next() {
			l.keyValue(path, children.Node())
		}
	case unstable.Array:
		for i := 0; children.Next(); {
			if children.Node().Kind == unstable.Comment {
				continue
			}
			element := index(path, i)
			l.record(element, children.Node())
			l.value(element, children.Node())
			i++
		}
	}
}

// record notes where path was met first.
func (l *locator) record(path string, n *unstable.Node) {
	if _, known := l.positions[path]; known || n == nil || n.Raw.Length == 0 {
		return
	}
	offset := int(n.Raw.Offset)
	line, exact := slices.BinarySearch(l.lines, offset)
	if !exact {
		line--
	}
	l.positions[path] = position{line + 1, offset - l.lines[line] + 1}
}

// at gives the place of path, or of the nearest thing around it that has one.
func (d *document) at(path string) position {
	for path != "" {
		if p, ok := d.positions[path]; ok {
			return p
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return position{}
}

// errorf is an error at path, which its text begins with.
func (d *document) errorf(path, format string, args ...any) *Error {
	p := d.at(path)
	return &Error{File: ConfigFile, Line: p.line, Column: p.column, Msg: path + " " + fmt.Sprintf(format, args...)}
}

func join(path, key string) string {
	if !bareKey(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func bareKey(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r > 127 || r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}
