package chaos

import (
	"context"
	"errors"
	"net/http"

	"oddish/api"
)

// ghost is what a worker reports whose lease has ended. It must not be found anywhere.
const ghost = "GhostOfAWorker"

// haunt lets workers speak whose leases have ended, of trials that by now run elsewhere or wait: nothing of what they say may be taken.
func (h *havoc) haunt(ctx context.Context) {
	server := h.server()
	rows, err := h.in.engine.db.QueryContext(ctx, `SELECT a.trial_id, a.lease FROM attempts a JOIN jobs j ON j.id = a.trial_id
		WHERE a.finished_at IS NOT NULL AND a.lease <> j.lease AND a.error_type = 'WorkerLost'
		ORDER BY CASE WHEN j.state = 'running' THEN 0 ELSE 1 END, a.finished_at DESC LIMIT 4`)
	if err != nil {
		h.t.Errorf("choose leases that have ended: %v", err)
		return
	}
	defer rows.Close()
	for rows.Next() {
		var trial, lease string
		if err := rows.Scan(&trial, &lease); err != nil {
			h.t.Errorf("choose leases that have ended: %v", err)
			return
		}
		h.speak(ctx, server, trial, lease)
	}
}

func (h *havoc) speak(ctx context.Context, server, trial, lease string) {
	job := server + "/worker/v1/jobs/" + trial
	finish := api.Finish{Outcome: api.StatusFailed, ErrorType: ghost, ErrorClass: api.ClassPermanent}
	h.refused("finish", trial, call(ctx, http.MethodPost, job+"/finish", finish, nil, api.LeaseHeader, lease))
	progress := api.Progress{Events: []api.ProgressEvent{{Seq: 1 << 40, Stage: api.StageVerification, SandboxID: ghost}}}
	h.refused("progress", trial, call(ctx, http.MethodPost, job+"/events", progress, nil, api.LeaseHeader, lease))
	h.refused("file", trial, call(ctx, http.MethodPut, job+"/files/"+ghost, "boo", nil, api.LeaseHeader, lease, "Content-Type", "application/octet-stream"))

	var ack api.HeartbeatAck
	err := call(ctx, http.MethodPost, server+"/worker/v1/heartbeat", api.Heartbeat{WorkerID: ghost, Jobs: []api.JobRef{{ID: trial, Lease: lease}}}, &ack)
	if err == nil && len(ack.Lost) != 1 {
		h.t.Errorf("heartbeat of an ended lease of %s: %+v", trial, ack)
	}
}

// refused wants the answer of the fence, if there is one.
func (h *havoc) refused(what, trial string, err error) {
	var answer *statusError
	switch {
	case errors.Is(err, errAway):
	case errors.As(err, &answer) && answer.status == http.StatusConflict:
		h.count("ghost refused", 1)
	default:
		h.t.Errorf("%s under an ended lease of %s: %v, want status %d", what, trial, err, http.StatusConflict)
	}
}
