// Package chaos proves that nothing is lost and no limit is exceeded while parts of the system die: real servers and workers,
// processes of the built program, run thousands of trials in fake sandboxes while a random one of them is killed (SIGKILL),
// stopped for longer than a lease (SIGSTOP), or cut from the database (pg_terminate_backend) every second or two, and while users
// cancel, retry, submit and change limits. Two servers with two workers each run on one PostgreSQL, one server with two workers on SQLite.
//
// Two witnesses say how many trials ran at once under each queue key and pattern: the database, which is asked all the time,
// and the fake sandbox, which notes every start and end of an agent's process in a journal. Afterwards everything has to add up: each trial has
// one outcome, each attempt is closed, counts equal a recount, accepted submissions are there, and no sandbox, scratch folder or secret is left.
//
// Like users, the test knows the command line and the HTTP API (package api). Unlike them it reads the tables, and once writes to them: the
// oracle, the one agent that needs no model, has but one queue key, so its trials are spread over several keys before workers start.
//
// The short form is part of `go test`; scripts/chaos.sh runs the long one. Each run prints its seed, from which -chaos.seed draws the same
// events again (their timing depends on the machine). After a failure everything is kept, and the test says where.
package chaos
