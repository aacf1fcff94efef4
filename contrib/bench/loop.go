package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"unsafe"

	gonflog "github.com/florianl/go-nflog/v2"
	"github.com/mdlayher/netlink"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
	"golang.org/x/sys/unix"
)

// loopCommand as first argument makes this program a logger that only counts:
// the floor under every real one.
const (
	loopCommand = "loop"
	loopReceive = "receive"
	loopGonflog = "go-nflog"
)

func loops() section {
	s := section{title: "reading only", about: "no output: messages are counted"}
	self, err := os.Executable()
	if err != nil {
		s.missing = append(s.missing, err.Error())
		return s
	}
	// The bare loop blocks where the runtime does not know, which sends it a
	// signal every 10 ms to make it yield. It yields by itself.
	quiet := []string{"GODEBUG=asyncpreemptoff=1"}
	for _, x := range []struct {
		name, kind string
		env        []string
	}{{"bare receive", loopReceive, quiet}, {"go-nflog", loopGonflog, nil}} {
		s.subjects = append(s.subjects, subject{
			logger: x.name, load: nflogInput.load, command: []string{self, loopCommand, x.kind, "{dir}/count"}, logged: readCount, env: x.env,
		})
	}
	return s
}

func readCount(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "count"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// loop reads the group until SIGTERM, then writes to the file how many packets
// there were.
func loop(kind, file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	read := receive
	if kind == loopGonflog {
		read = gonflogLoop
	}
	n, err := read(ctx)
	if err != nil {
		return fmt.Errorf("%s loop: %w", kind, err)
	}
	return os.WriteFile(file, []byte(strconv.Itoa(n)), 0o600)
}

// gonflogLoop is the library as it comes, with its defaults. A full receive
// buffer does not stop it.
func gonflogLoop(ctx context.Context) (n int, err error) {
	conn, err := gonflog.Open(&gonflog.Config{Group: group, Copymode: gonflog.CopyPacket, Bufsize: 0xffff})
	if err != nil {
		return 0, err
	}
	count := func(gonflog.Attribute) int { n++; return 0 }
	goOn := func(error) int { return 0 }
	if err := conn.RegisterWithErrorFunc(ctx, count, goOn); err != nil {
		return 0, errors.Join(err, conn.Close())
	}
	<-ctx.Done()
	return n, conn.Close()
}

// receive does nothing but read datagrams and step over their messages. It
// blocks in the read, past the runtime's poller, and looks up now and then
// whether to end.
func receive(ctx context.Context) (n int, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := bind(conn); err != nil {
		return 0, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { n, failed = drain(ctx, int(fd)) })
	return n, errors.Join(err, failed)
}

func bind(conn *netlink.Conn) error {
	if err := conn.SetReadBuffer(8 << 20); err != nil {
		return err
	}
	settings := nflog.Group{Number: group, CopyRange: nflog.MaxCopyRange, BufferSize: 32 << 10, QThreshold: 64, Timeout: 10}
	_, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: nflog.TypeConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   settings.Bind(),
	})
	return err
}

// drain reads until ctx ends. A full receive buffer is no reason to stop: what
// is lost shows in the count.
func drain(ctx context.Context, fd int) (n int, err error) {
	err = errors.Join(unix.SetNonblock(fd, false),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	buf := make([]byte, 2*nflog.MaxBufferSize)
	for err == nil && ctx.Err() == nil {
		// Raw, so that the runtime does not hand the processor to another thread
		// and back each time: here is nothing else to do.
		size, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
		switch errno {
		case 0:
			n += messages(buf[:size])
		case unix.EAGAIN, unix.ENOBUFS, unix.EINTR:
		default:
			return n, errno
		}
	}
	return n, err
}

func messages(datagram []byte) (n int) {
	for {
		m, rest, ok := nlsock.NextMessage(datagram)
		if !ok {
			return n
		}
		if m.Type == nflog.TypePacket {
			n++
		}
		datagram = rest
	}
}
