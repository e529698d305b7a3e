package gateway

import "encoding/json"

// valid is json.Valid, several times as fast for what agents send: almost all of it is text, whose strings are checked here, and what is left when each stands
// for an empty one is short.
func valid(body []byte) bool {
	rest := make([]byte, 0, min(len(body), 4<<10))
	for i := 0; i < len(body); i++ {
		rest = append(rest, body[i])
		if body[i] != '"' {
			continue
		}
		end := stringEnd(body, i+1)
		if end < 0 {
			return false
		}
		rest, i = append(rest, '"'), end
	}
	return json.Valid(rest)
}

// stringEnd gives where the string ends whose content begins at i; -1: it is none.
func stringEnd(body []byte, i int) int {
	for ; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			return i
		case c < ' ':
			return -1
		case c == '\\':
			if i = escapeEnd(body, i+1); i < 0 {
				return -1
			}
		}
	}
	return -1
}

// escapeEnd gives the last byte of the escape whose letter is at i; -1: it is none.
func escapeEnd(body []byte, i int) int {
	if i >= len(body) {
		return -1
	}
	switch body[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		for n := 1; n <= 4; n++ {
			if i+n >= len(body) || !isHex(body[i+n]) {
				return -1
			}
		}
		return i + 4
	}
	return -1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
