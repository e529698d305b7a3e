// Package backup writes one file with everything that an installation keeps, and puts it back.
//
// The file is a tar, gzipped if its name says so, of
//
//	manifest.json   what it is, always first
//	oddish.db       the database, as SQLite whatever it was made from
//	secret.key      the key that secrets in the database are sealed with, if there is one
//	blobs/...       task archives and the files of trials
//
// so that one format serves SQLite and PostgreSQL, and a backup of one can be restored into the other. Package store, below it,
// copies rows; package tarball unpacks. Locks, questions and addresses are those of the command line above it.
package backup

import (
	"errors"
	"fmt"
	"time"

	"oddish/internal/store"
)

// Names of the members.
const (
	manifestName = "manifest.json"
	databaseName = "oddish.db"
	keyName      = store.KeyFile
	blobsName    = "blobs"
)

// format is the version of the format that this program writes, and the newest that it reads.
const format = 1

// ErrNotBackup: the file is something else, or damaged at its beginning.
var ErrNotBackup = errors.New("is not a backup made by `oddish db backup`")

// Manifest says what a backup is.
type Manifest struct {
	Format    int       `json:"format"`
	CreatedAt time.Time `json:"created_at"`
	Program   string    `json:"program"`   // version of the oddish that made it
	Schema    int64     `json:"schema"`    // version of the tables
	Artifacts bool      `json:"artifacts"` // secret.key and blobs are in it
}

// check refuses what a newer program has made. latest is the newest schema that this one knows.
func (m Manifest) check(latest int64) error {
	switch {
	case m.Format < 1:
		return ErrNotBackup
	case m.Format > format:
		return fmt.Errorf("has format %d, but this program knows only up to %d: use a newer oddish (it was made by %s)", m.Format, format, m.Program)
	case m.Schema > latest:
		return fmt.Errorf("holds tables of version %d, but this program knows only up to %d: use a newer oddish (it was made by %s)", m.Schema, latest, m.Program)
	}
	return nil
}
