package sqldb

import (
	"io"
	"sync"
)

// streamChunk is how many bytes are encoded at a time.
const streamChunk = 32 << 10

// Stream is an io.Reader of rows that are encoded as they are read, so that the
// server takes the first of them while the next are made. Read and Stop may be
// called concurrently: a driver may still be reading when it has given up.
type Stream struct {
	mu     sync.Mutex
	encode func(dst []byte, i int) ([]byte, error)
	rows   int // to be read
	row    int // the next one to encode
	buf    []byte
	sent   int // bytes of buf that were read
	err    error
}

// NewStream makes a stream of n rows. The function appends row i to dst; it is
// called for each in order, and not after an error or Stop.
func NewStream(n int, encode func(dst []byte, i int) ([]byte, error)) *Stream {
	return &Stream{encode: encode, rows: n}
}

// Read reads the next bytes. The error is that of a row, or io.EOF behind the last
// row and after Stop.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == len(s.buf) {
		s.fill()
	}
	n := copy(p, s.buf[s.sent:])
	s.sent += n
	switch {
	case n > 0 || s.sent < len(s.buf): // p may be empty
		return n, nil
	case s.err != nil:
		return 0, s.err
	}
	return 0, io.EOF
}

// fill encodes rows in place of those that were read.
func (s *Stream) fill() {
	s.buf, s.sent = s.buf[:0], 0
	for s.err == nil && s.row < s.rows && len(s.buf) < streamChunk {
		var b []byte
		if b, s.err = s.encode(s.buf, s.row); s.err == nil {
			s.buf = b
			s.row++
		}
	}
}

// Stop ends the stream. The error is that of a row that could not be encoded,
// which a server would pass on as a text of its own.
func (s *Stream) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows, s.buf, s.sent = 0, nil, 0
	return s.err
}
