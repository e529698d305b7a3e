package server

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
)

// pingTimeout limits the database check of GET /health, so that it answers while the database hangs.
const pingTimeout = 2 * time.Second

type healthOutput struct{ Body api.Health }

func (s *Server) registerHealth(a huma.API) {
	huma.Register(a, op(http.MethodGet, "/health", "health", "Whether the server works; always 200, and never wants a key"), s.health)
}

func (s *Server) health(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	h := api.Health{
		Status: "healthy", Database: "connected", Timestamp: s.now().UTC(),
		Service: "oddish", Version: s.cfg.Version, PID: os.Getpid(),
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := s.db.Ping(ctx); err != nil {
		s.log.WarnContext(ctx, "database does not answer", "error", err)
		h.Status, h.Database = "degraded", "disconnected"
	}
	return &healthOutput{Body: h}, nil
}
