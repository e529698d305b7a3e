package cli

import (
	"context"

	"oddish/internal/blob"
	"oddish/internal/config"
	"oddish/internal/store"
)

// identity is what a server must have in common with the others on its database.
type identity struct {
	sealer *store.Sealer
	blobs  *blob.Local
	where  string // of the blobs
}

// openIdentity opens the key and the artifacts of a server, which are made if absent.
func openIdentity(cfg config.Config, dir string) (identity, error) {
	sealer, err := store.OpenSealer(dir, cfg.SecretKey)
	if err != nil {
		return identity{}, err
	}
	where, err := cfg.Artifacts(dir)
	if err != nil {
		return identity{}, err
	}
	blobs, err := blob.NewLocal(where)
	if err != nil {
		return identity{}, err
	}
	return identity{sealer, blobs, where}, nil
}

const adoptHint = "; or, if that is lost for good, take what is here: `oddish db setup --adopt`"

// check refuses a server that would not be able to read what the other servers of its database have written.
func (i identity) check(ctx context.Context, db *store.DB) error {
	key, err := db.Agree(ctx, store.SecretKeyIdentity, i.sealer.Fingerprint())
	if err != nil {
		return err
	}
	if key != i.sealer.Fingerprint() {
		return failf("give all servers of a database the same ODDISH_SECRET_KEY, or put the file secret.key back"+adoptHint,
			"the secrets in the database are sealed with another key than the one here")
	}
	id, err := i.blobs.ID(ctx)
	if err != nil {
		return err
	}
	agreed, err := db.Agree(ctx, store.ArtifactsIdentity, id)
	if err != nil {
		return err
	}
	if agreed != id {
		return failf("give all servers of a database the same folder with ODDISH_ARTIFACTS_DIR, or put it back"+adoptHint,
			"the artifacts of the database are in another folder than %s", i.where)
	}
	return nil
}

// adopt makes the key and the artifacts here those of the database.
func (i identity) adopt(ctx context.Context, db *store.DB) error {
	id, err := i.blobs.ID(ctx)
	if err != nil {
		return err
	}
	if err := db.Settle(ctx, store.SecretKeyIdentity, i.sealer.Fingerprint()); err != nil {
		return err
	}
	return db.Settle(ctx, store.ArtifactsIdentity, id)
}
