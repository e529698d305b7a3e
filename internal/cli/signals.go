package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// drainSignals returns a context that ends at the first SIGINT or SIGTERM. At the second, handBack is called; the third ends the
// process.
func drainSignals(ctx context.Context, handBack func(), log *slog.Logger) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 1; ; n++ {
			select {
			case s := <-signals:
				log.Info("signal received", "signal", s.String(), "count", n)
			case <-done:
				return
			}
			switch n {
			case 1:
				cancel()
			case 2:
				handBack()
			default:
				os.Exit(exitInterrupted)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
