package api

import "time"

// Queue is the answer of GET /queue.
type Queue struct {
	Keys      []QueueKey   `json:"queue_keys" doc:"sorted by name, each pattern before its keys, and * first"`
	Daily     *DailyBudget `json:"daily_budget" doc:"null: none"`
	Timestamp time.Time    `json:"timestamp"`
}

// QueueKey is the state of a queue key, such as openai/gpt-5.2 or local, or of a pattern such as openai/*, which
// bounds all keys of a provider together, or of *, under which everything is paused.
type QueueKey struct {
	Key              string     `json:"queue_key"`
	Limit            *int       `json:"limit" doc:"trials that may run at once; null: a pattern that bounds nothing"`
	ConfiguredLimit  *int       `json:"configured_limit" doc:"the limit where none is set at run time; null: a pattern without one"`
	EffectiveLimit   *int       `json:"effective_limit" doc:"the lower limit in force because the provider limits the rate; null: limit is in force"`
	Running          int        `json:"running"`
	Queued           int        `json:"queued"`
	Retrying         int        `json:"retrying" doc:"trials that wait for another attempt"`
	Held             int        `json:"held" doc:"of the queued and retrying ones: those in paused experiments"`
	OldestAgeSeconds *float64   `json:"oldest_age_sec" doc:"how long the longest waiting trial has waited; null: none waits"`
	Paused           bool       `json:"paused" doc:"no trial is started, because of the key or its pattern"`
	PausedBy         *string    `json:"paused_by" doc:"what was paused: the key itself, its pattern, or *"`
	HeldUntil        *time.Time `json:"held_until" doc:"no trial is started before, because the provider limits the rate; null: not held"`
	BoundedBy        *string    `json:"bounded_by" doc:"the pattern whose limit holds on top of the key's own"`
}

// QueueKeyHistory is a queue key with what was changed of it, by operators or because its provider limits the rate: the answer of GET /queue/key and of every change.
type QueueKeyHistory struct {
	QueueKey
	Changes []QueueChange `json:"changes" doc:"the newest 100, newest first"`
}

// QueueChange is one change of a queue key.
type QueueChange struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind" enum:"limit,default,pause,resume,rate_limit,growth" doc:"default: the configured limit was restored; rate_limit: the provider limits the rate; growth: the limit rises again after that"`
	From   *int      `json:"from" doc:"limit before; null: none, or not a change of the limit"`
	To     *int      `json:"to" doc:"limit afterwards"`
	Reason string    `json:"reason"`
	By     string    `json:"by" doc:"who changed it, as the client said; empty: the server itself"`
}

// QueueReason says why and by whom a queue key is changed: POST /queue/pause and /queue/resume.
type QueueReason struct {
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"kept in the history of the key"`
	By     string `json:"by,omitempty" maxLength:"255" doc:"who changes it"`
}

// QueueLimit is the body of PUT /queue/limit.
type QueueLimit struct {
	QueueReason
	Limit *int `json:"limit,omitempty" minimum:"0" maximum:"100000" doc:"trials that may run at once; 0 stops the key; absent: back to the configured limit"`
}
