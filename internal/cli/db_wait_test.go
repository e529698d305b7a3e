package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestSetupWaitsForADatabaseThatIsStarting(t *testing.T) {
	t.Parallel()
	starting, refused := &pgconn.PgError{Code: "57P03"}, errors.New("wrong password")
	for name, tc := range map[string]struct {
		errs []error // of the tries; the last one of all later ones
		want error
		took time.Duration
	}{
		"ready":                 {[]error{nil}, nil, 0},
		"ready after two tries": {[]error{starting, starting, nil}, nil, 2 * databaseRetry},
		"refused":               {[]error{refused}, refused, 0},
		"ready and then refuse": {[]error{starting, refused}, refused, databaseRetry},
		"never ready":           {[]error{starting}, starting, databaseStart + databaseRetry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, _, errs := testApp(t)
				start, tries := time.Now(), 0
				err := a.untilReady(t.Context(), func() error {
					tries++
					return tc.errs[min(tries, len(tc.errs))-1]
				})
				if err != tc.want || time.Since(start) != tc.took {
					t.Errorf("%v after %s, want %v after %s", err, time.Since(start), tc.want, tc.took)
				}
				if n := strings.Count(errs.String(), "waiting for the database"); n != min(1, tries-1) {
					t.Errorf("it says so %d times after %d tries", n, tries)
				}
			})
		})
	}
}

func TestWaitingForADatabaseCanBeInterrupted(t *testing.T) {
	t.Parallel()
	a, _, _ := testApp(t)
	ctx, cancel := context.WithCancel(t.Context())
	starting := &pgconn.PgError{Code: "57P03"}
	if err := a.untilReady(ctx, func() error { cancel(); return starting }); err != starting {
		t.Errorf("error %v", err)
	}
}
