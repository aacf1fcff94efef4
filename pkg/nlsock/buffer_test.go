package nlsock

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// sized is a socket that remembers the sizes that its buffer was given, up to a largest.
type sized struct {
	sizes   []int
	largest int
}

func (s *sized) SetReadBuffer(n int) (int, error) {
	if n > s.largest {
		return 0, errors.New("too large")
	}
	s.sizes = append(s.sizes, n)
	return 2 * n, nil
}

func TestBuffer(t *testing.T) {
	f := func(limit, largest int, wantSize int, wantLog ...string) {
		t.Helper()
		var log bytes.Buffer
		s := &sized{largest: largest}
		b := Buffer{Socket: s, Input: "NFCT", Size: 1000, Limit: limit, Log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := b.Set(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			b.Grow()
		}
		if got := s.sizes[len(s.sizes)-1]; got != wantSize {
			t.Errorf("limit %d, largest %d: sizes %v, want %d in the end", limit, largest, s.sizes, wantSize)
		}
		for _, text := range wantLog {
			if strings.Count(log.String(), text) != 1 {
				t.Errorf("limit %d, largest %d: want %q once in\n%s", limit, largest, text, &log)
			}
		}
	}
	f(4000, 1<<20, 4000, "NFCT netlink buffer size has been set to 2000", "increasing buffer size to 4000", "increasing buffer size to 8000", "Maximum buffer size (4000) in NFCT has been reached")
	f(0, 1<<20, 1000, "Maximum buffer size (0) in NFCT has been reached")
	f(1<<20, 2000, 2000, "receive buffer of 4000 bytes: too large")
	b := Buffer{Socket: new(sized), Size: 1, Log: slog.New(slog.DiscardHandler)}
	if err := b.Set(); err == nil || !strings.Contains(err.Error(), "netlink_socket_buffer_size = 1") {
		t.Errorf("a first size that is refused: %v", err)
	}
}
