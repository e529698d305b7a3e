package store

import (
	"fmt"
	"net/url"
	"strings"
)

// sqliteDSN gives the driver's name of the file with the settings that every connection has, and one more.
func sqliteDSN(path, extra string) string {
	settings := []string{
		// First, so that the others wait for a process that is opening the file too.
		fmt.Sprintf("_pragma=busy_timeout(%d)", busyTimeout.Milliseconds()),
		"_pragma=journal_mode(WAL)",
		// A commit is on disk when it is acknowledged.
		"_pragma=synchronous(FULL)",
		"_pragma=foreign_keys(1)",
		// Wiped secrets leave no trace in free pages.
		"_pragma=secure_delete(fast)",
		"_pragma=temp_store(memory)",
		"_pragma=journal_size_limit(67108864)",
		extra,
	}
	file := url.URL{Scheme: "file", Path: path}
	return file.String() + "?" + strings.Join(settings, "&")
}

// sqliteLockDSN names a file that is only locked, never written: see DB.lockMigrations.
func sqliteLockDSN(path string) string {
	file := url.URL{Scheme: "file", Path: path}
	return file.String() + "?_txlock=exclusive&_pragma=busy_timeout(300000)"
}
