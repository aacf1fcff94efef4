package nlsock

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ulogd-go/ulogd/pkg/logging"
)

// Buffer is the receive buffer of a socket, which grows when the kernel finds it full, as
// far as it may. It is for one goroutine.
type Buffer struct {
	Socket      interface{ SetReadBuffer(bytes int) (int, error) }
	Input       string // the plugin, as messages name it
	Size, Limit int    // in bytes, as the kernel is asked for
	Log         *slog.Logger

	full bool // it grows no more
}

// Set gives the buffer its first size.
func (b *Buffer) Set() error {
	got, err := b.Socket.SetReadBuffer(b.Size)
	if err != nil {
		return fmt.Errorf("netlink_socket_buffer_size = %d: %w", b.Size, err)
	}
	b.notice(fmt.Sprintf("%s netlink buffer size has been set to %d", b.Input, got))
	return nil
}

// Grow doubles the buffer, and says so, or once that it can't.
func (b *Buffer) Grow() {
	if b.full {
		return
	}
	if 2*b.Size > b.Limit {
		b.full = true
		b.notice(fmt.Sprintf("Maximum buffer size (%d) in %s has been reached. Please, consider rising "+
			"`netlink_socket_buffer_size` and `netlink_socket_buffer_maxsize` clauses.", b.Limit, b.Input))
		return
	}
	b.Size *= 2
	got, err := b.Socket.SetReadBuffer(b.Size)
	if err != nil {
		b.full = true
		b.Log.Error(fmt.Sprintf("receive buffer of %d bytes: %v", b.Size, err))
		return
	}
	b.notice(fmt.Sprintf("We are losing events, increasing buffer size to %d", got))
}

func (b *Buffer) notice(text string) { b.Log.Log(context.Background(), logging.Notice, text) }
