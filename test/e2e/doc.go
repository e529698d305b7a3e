// Package e2e tests the program as its users meet it: the static binary is built once, and every
// test drives it from its command line, with a data directory and a port of its own.
//
// Nothing of the program is imported here, so that what these tests know is what users can know: commands, exit
// statuses, JSON documents, and the files of the data directory. What one package does is tested beside it;
// here belong whole runs of the examples, tasks that misbehave in sandboxes that really run them, and servers that are
// killed, drained and cleaned.
//
// The docker tests need an engine at ODDISH_TEST_DOCKER_HOST with the image debian:bookworm-slim (scripts/test.sh starts
// one). What cannot be tested on a machine is skipped with its reason, which is a failure where CI=true. With -short the package
// tests nothing.
package e2e
