package logging

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recorder is a sink that remembers.
type recorder struct {
	threshold int
	messages  []Message
}

func (r *recorder) Enabled(l slog.Level) bool { return Number(l) >= r.threshold }
func (r *recorder) Write(m Message)           { r.messages = append(r.messages, m) }

func (r *recorder) texts() []string {
	var texts []string
	for _, m := range r.messages {
		texts = append(texts, m.Text)
	}
	return texts
}

func TestAppendLine(t *testing.T) {
	at := time.Date(2026, time.November, 23, 7, 51, 25, 999, time.UTC)
	f := func(m Message, zone *time.Location, want string) {
		t.Helper()
		if got := string(m.AppendLine(nil, zone)); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	f(Message{at, Notice, "ulogd.c:408", "registering plugin `UNIXSOCK'"}, time.UTC,
		"Mon Nov 23 07:51:25 2026 <5> ulogd.c:408 registering plugin `UNIXSOCK'\n")
	// The day is padded with a blank, and the time is local.
	f(Message{at.AddDate(0, 0, -18), Fatal, "x.go:1", "text"}, time.FixedZone("", 3600),
		"Thu Nov  5 08:51:25 2026 <8> x.go:1 text\n")
}

func TestNumber(t *testing.T) {
	f := func(l slog.Level, want int) {
		t.Helper()
		if got := Number(l); got != want {
			t.Errorf("Number(%v) = %d, want %d", l, got, want)
		}
	}
	f(slog.LevelDebug, 1)
	f(slog.LevelInfo, 3)
	f(Notice, 5)
	f(slog.LevelWarn, 5)
	f(slog.LevelError, 7)
	f(Fatal, 8)
}

func TestHandlerText(t *testing.T) {
	f := func(write func(*slog.Logger), want ...string) {
		t.Helper()
		r := new(recorder)
		write(slog.New(NewHandler(r)))
		if diff := cmp.Diff(want, r.texts()); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
	}
	f(func(l *slog.Logger) { l.Info("plain") }, "plain")
	f(func(l *slog.Logger) { l.With("instance", "log1").Info("lost 3 packets") }, "log1: lost 3 packets")
	f(func(l *slog.Logger) { l.Error("close", "instance", "emu1", "n", 3) }, "emu1: close n=3")
	f(func(l *slog.Logger) { l.With("a", 1).WithGroup("g").Info("m", "b", 2) }, "m a=1 g.b=2")
	f(func(l *slog.Logger) { l.Info("m", slog.Group("g", "b", true), slog.Attr{}) }, "m g.b=true")
	// A value that is not one word is quoted.
	f(func(l *slog.Logger) { l.Info("m", "stack", "a:B, c:D", "empty", "") }, `m stack="a:B, c:D" empty=""`)
	f(func(l *slog.Logger) { l.Info("m", "err", errors.New("no")) }, "m err=no")
	// Several mistakes at once are a line each.
	f(func(l *slog.Logger) {
		l.With("instance", "x").Error(errors.Join(errors.New("one"), errors.New("two")).Error())
	},
		"x: one", "two")
	// Nobody else's text can steer the terminal.
	f(func(l *slog.Logger) { l.Info("a\x1b[2Jb\rc\td\u009b") }, `a\x1b[2Jb\x0dc`+"\td"+`\x9b`)
}

func TestHandlerSourceAndTime(t *testing.T) {
	r := new(recorder)
	before := time.Now()
	slog.New(NewHandler(r)).Log(context.Background(), Notice, "here")
	m := r.messages[0]
	if !regexp.MustCompile(`^handler_test\.go:\d+$`).MatchString(m.Source) {
		t.Errorf("source %q", m.Source)
	}
	if m.Time.Before(before) || m.Level != Notice {
		t.Errorf("time %v, level %v", m.Time, m.Level)
	}
}

func TestHandlerThreshold(t *testing.T) {
	r := &recorder{threshold: 5}
	log := slog.New(NewHandler(r))
	log.Debug("1")
	log.Info("3")
	log.Log(context.Background(), Notice, "5")
	log.Warn("5w")
	log.Error("7")
	if diff := cmp.Diff([]string{"5", "5w", "7"}, r.texts()); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}
