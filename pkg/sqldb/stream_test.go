package sqldb

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// line is row i, as an encoder makes it.
func line(dst []byte, i int) ([]byte, error) { return fmt.Appendf(dst, "row %d\n", i), nil }

func TestStream(t *testing.T) {
	for _, n := range []int{0, 1, 3 * streamChunk / len("row 00000")} {
		var want []byte
		for i := range n {
			want, _ = line(want, i)
		}
		if err := iotest.TestReader(NewStream(n, line), want); err != nil {
			t.Errorf("%d rows: %v", n, err)
		}
	}
}

func TestStreamOfBadRow(t *testing.T) {
	bad := errors.New("bad row")
	s := NewStream(9, func(dst []byte, i int) ([]byte, error) {
		if i == 2 {
			return append(dst, "half a row"...), bad
		}
		return line(dst, i)
	})
	var got strings.Builder
	if _, err := io.Copy(&got, s); err != bad || got.String() != "row 0\nrow 1\n" {
		t.Errorf("%q, %v; want the rows before the bad one, and its error", got.String(), err)
	}
	if err := s.Stop(); err != bad {
		t.Errorf("Stop: %v, want the row's error", err)
	}
}

// TestStreamStopped has the driver read on after it has failed: rows are those of
// another attempt by then.
func TestStreamStopped(t *testing.T) {
	stopped := false
	s := NewStream(1<<20, func(dst []byte, i int) ([]byte, error) {
		if stopped {
			t.Error("a row is encoded after Stop")
		}
		return line(dst, i)
	})
	var p [10]byte
	if n, err := s.Read(p[:]); n != len(p) || err != nil {
		t.Fatalf("Read: %d, %v", n, err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	stopped = true
	if n, err := s.Read(p[:]); n != 0 || err != io.EOF {
		t.Errorf("Read after Stop: %d, %v; want the end", n, err)
	}
}
