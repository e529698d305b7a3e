package gateway

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// decode undoes a compression that was not asked for, so that the answer can be read.
func decode(answer *http.Response) error {
	switch encoding := strings.ToLower(answer.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
		plain, err := gzip.NewReader(answer.Body)
		if err != nil {
			return fmt.Errorf("the answer says that it is gzip: %w", err)
		}
		answer.Body = struct {
			io.Reader
			io.Closer
		}{plain, answer.Body}
		return nil
	default:
		return fmt.Errorf("the answer is encoded as %s, which was not asked for", encoding)
	}
}
