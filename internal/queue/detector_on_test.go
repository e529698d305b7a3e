//go:build race

package queue

// raceDetector: the database is many times slower under it, so histories are shorter.
const raceDetector = true
