package blob_test

import (
	"testing"

	"oddish/internal/blob"
	"oddish/internal/blob/blobtest"
)

func TestLocalConforms(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		l, err := blob.NewLocal(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
