package store

import (
	"context"
	"database/sql"
	"fmt"
)

// What all servers of one database have in common, see DB.Agree.
const (
	SecretKeyIdentity = "secret_key" // Sealer.Fingerprint
	ArtifactsIdentity = "artifacts"  // id of the blob store
)

// Agree returns the value of something that all servers of the database have in common. The first to ask settles it.
func (db *DB) Agree(ctx context.Context, name, value string) (agreed string, err error) {
	err = db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO identity (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, value)
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT value FROM identity WHERE name = $1", name).Scan(&agreed)
	})
	if err != nil {
		return "", fmt.Errorf("compare %s with other servers: %w", name, err)
	}
	return agreed, nil
}

// Settle replaces what Agree returns from now on.
func (db *DB) Settle(ctx context.Context, name, value string) error {
	err := db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO identity (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
		return err
	})
	if err != nil {
		return fmt.Errorf("settle %s: %w", name, err)
	}
	return nil
}
