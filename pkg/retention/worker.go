package retention

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ulogd-go/ulogd/schema"
)

// Worker removes old rows again and again, beside the daemon's writing.
type Worker struct {
	Engine schema.Engine
	Table  string
	Age    Age
	Open   func() (*sql.DB, error) // a connection of its own
	Now    func() time.Time
	Log    *slog.Logger

	stop func()
	done sync.WaitGroup
}

// interval is how often old rows are looked for, and soon how soon after an error.
const (
	interval = time.Hour
	soon     = time.Minute
)

// Start begins, unless it has or there is no limit of age.
func (w *Worker) Start() {
	if w.stop != nil || w.Age == 0 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.done.Go(func() { w.loop(ctx) })
}

// Stop ends, in the middle of work if need be.
func (w *Worker) Stop() {
	if w.stop != nil {
		w.stop()
		w.done.Wait()
		w.stop = nil
	}
}

func (w *Worker) loop(ctx context.Context) {
	warned := ""
	for {
		wait := interval
		report, err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if text := fmt.Sprintf("retention: %v", err); text != warned {
				warned = text
				w.Log.Warn(text + "; rows older than " + w.Age.String() + " stay until it works")
			}
			wait = soon
		case !report.Busy:
			warned = ""
			w.Log.Info("retention: " + report.String())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (w *Worker) once(ctx context.Context) (Report, error) {
	db, err := w.Open()
	if err != nil {
		return Report{}, err
	}
	defer db.Close()
	return New(w.Engine, db, w.Table).Run(ctx, w.Now(), w.Age)
}
