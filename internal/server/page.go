package server

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// PageInput is what a list that is paged by cursor takes. Embedded parameters have to be exported for huma to see them.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"100" doc:"next_cursor of the page before"`
}

// offset gives the place that the cursor stands for, 0 without one.
func (p PageInput) offset() (int, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err == nil {
		if digits, ok := strings.CutPrefix(string(raw), "o"); ok {
			if n, err := strconv.Atoi(digits); err == nil && n >= 0 {
				return n, nil
			}
		}
	}
	return 0, huma.Error400BadRequest("malformed cursor: take next_cursor of the page before")
}

// page is one page of a list. NextCursor is null on the last.
type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// pageOf cuts a list that was read with one element more than asked for.
func pageOf[T any](items []T, offset, limit int) page[T] {
	p := page[T]{Items: items}
	if len(items) > limit {
		p.Items = items[:limit]
		next := base64.RawURLEncoding.EncodeToString([]byte("o" + strconv.Itoa(offset+limit)))
		p.NextCursor = &next
	}
	if p.Items == nil {
		p.Items = []T{}
	}
	return p
}
