package logging

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Number is l as ulogd counts: 1 debug, 3 info, 5 notice and warnings, 7 error,
// 8 fatal. A message is logged if its number is at least the threshold.
func Number(l slog.Level) int {
	switch {
	case l < slog.LevelInfo:
		return 1
	case l < Notice:
		return 3
	case l < slog.LevelError:
		return 5
	case l < Fatal:
		return 7
	}
	return 8
}

// Message is one line of the log.
type Message struct {
	Time   time.Time
	Level  slog.Level
	Source string // file and line in the program, such as "replay.go:40"
	Text   string // without control characters
}

// AppendLine appends m as ulogd writes it to a file, with a newline:
// "Mon Nov 23 07:51:25 2026 <5> ulogd.c:408 text" (reference page
// "ulogd2-core", section 1.6).
func (m Message) AppendLine(dst []byte, zone *time.Location) []byte {
	dst = m.Time.In(zone).AppendFormat(dst, time.ANSIC)
	return fmt.Appendf(dst, " <%d> %s %s\n", Number(m.Level), m.Source, m.Text)
}

// A Sink takes messages. It is used concurrently.
type Sink interface {
	Enabled(slog.Level) bool
	Write(Message)
}

// Handler turns records into messages: the attribute "instance" becomes a prefix
// as in "log1: text", others are appended as in "text key=value". A record of
// several lines becomes several messages.
type Handler struct {
	sink     Sink
	instance string
	attrs    string // as they will be appended
	group    string // prefix of the keys that follow, with a dot
}

// NewHandler makes a handler that writes to sink.
func NewHandler(sink Sink) *Handler { return &Handler{sink: sink} }

// Enabled tells whether the sink wants messages of that level.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return h.sink.Enabled(l) }

// Handle writes a record.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	all := *h
	r.Attrs(func(a slog.Attr) bool {
		all.add(a)
		return true
	})
	m := Message{Time: r.Time, Level: r.Level, Source: source(r.PC)}
	text := r.Message + all.attrs
	if all.instance != "" {
		text = all.instance + ": " + text
	}
	for line := range strings.SplitSeq(text, "\n") {
		m.Text = clean(line)
		h.sink.Write(m)
	}
	return nil
}

// WithAttrs is h with attributes for all its records.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	for _, a := range attrs {
		more.add(a)
	}
	return &more
}

// WithGroup is h with a prefix for the keys that follow.
func (h *Handler) WithGroup(name string) slog.Handler {
	more := *h
	if name != "" {
		more.group += name + "."
	}
	return &more
}

func (h *Handler) add(a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case v.Kind() == slog.KindGroup:
		inner := *h
		if a.Key != "" {
			inner.group += a.Key + "."
		}
		for _, b := range v.Group() {
			inner.add(b)
		}
		h.instance, h.attrs = inner.instance, inner.attrs
	case a.Key == "instance" && h.group == "":
		h.instance = v.String()
	default:
		h.attrs += " " + h.group + a.Key + "=" + quote(v.String())
	}
}

// quote puts quotes around what would not be recognised as one word.
func quote(s string) string {
	if s == "" || strings.ContainsAny(s, " \"\n\t") {
		return strconv.Quote(s)
	}
	return s
}

// clean makes control characters visible, because a message may quote what a
// stranger sent.
func clean(s string) string {
	if strings.IndexFunc(s, control) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if control(r) {
			fmt.Fprintf(&b, `\x%02x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 }

// source is the place of pc in the program.
func source(pc uintptr) string {
	if pc == 0 {
		return "ulogd:0"
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
}
