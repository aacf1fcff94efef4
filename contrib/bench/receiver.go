package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"golang.org/x/sys/unix"
)

// receiver is what an output sends to, in place of a file. Its work is not counted as
// the logger's.
type receiver interface {
	// listen is called before the logger starts. What has to be in a directory goes
	// into dir.
	listen(ns *lab.NS, dir string) error
	// count is how many records have come. It is called after the logger has ended.
	count() (int, error)
	io.Closer
}

// datagrams receives datagrams and counts what is in them.
type datagrams struct {
	open    func(dir string) (net.PacketConn, error)
	close   func() error // what open has made besides; nil for nothing
	records func(datagram []byte) int

	conn  net.PacketConn
	n     atomic.Int64
	ended chan struct{}
}

func (d *datagrams) listen(ns *lab.NS, dir string) (err error) {
	if err := ns.Do(func() (err error) { d.conn, err = d.open(dir); return err }); err != nil {
		return fmt.Errorf("listen for records: %w", err)
	}
	d.ended = make(chan struct{})
	go func() {
		defer close(d.ended)
		for buf := make([]byte, 1<<16); ; {
			n, _, err := d.conn.ReadFrom(buf)
			if err != nil {
				return
			}
			d.n.Add(int64(d.records(buf[:n])))
		}
	}()
	return nil
}

// count reads what still waits, which is there at once.
func (d *datagrams) count() (int, error) {
	if err := d.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return 0, err
	}
	<-d.ended
	return int(d.n.Load()), nil
}

func (d *datagrams) Close() error {
	if d.conn == nil {
		return nil
	}
	err := d.conn.Close()
	<-d.ended
	if d.close != nil {
		err = errors.Join(err, d.close())
	}
	return err
}

// syslogDaemon listens on /dev/log.
func syslogDaemon(load) receiver {
	d := &datagrams{records: func(datagram []byte) int { return bytes.Count(datagram, []byte("]: bench: ")) }}
	d.open = func(dir string) (conn net.PacketConn, err error) {
		if d.close, err = coverDev(dir); err != nil {
			return nil, err
		}
		conn, err = net.ListenPacket("unixgram", "/dev/log")
		if err != nil {
			err = errors.Join(err, d.close())
		}
		return conn, err
	}
	return d
}

// coverDev puts a folder in the place of /dev that has the devices that programs need,
// in the mount namespace that lab.Reexec made, so that a file can be made there.
func coverDev(dir string) (uncover func() error, err error) {
	dev := filepath.Join(dir, "dev")
	if err := os.Mkdir(dev, 0o755); err != nil {
		return nil, err
	}
	mounted := []string{}
	uncover = func() (err error) {
		for i := len(mounted) - 1; i >= 0; i-- {
			err = errors.Join(err, unix.Unmount(mounted[i], unix.MNT_DETACH))
		}
		return err
	}
	mount := func(from, to string, flags uintptr) error {
		if err := unix.Mount(from, to, "", unix.MS_BIND|flags, ""); err != nil {
			return fmt.Errorf("mount %s on %s: %w", from, to, err)
		}
		mounted = append(mounted, to)
		return nil
	}
	for _, name := range []string{"null", "zero", "random", "urandom"} {
		to := filepath.Join(dev, name)
		err = os.WriteFile(to, nil, 0o600)
		if err == nil {
			err = mount("/dev/"+name, to, 0)
		}
		if err != nil {
			return nil, errors.Join(err, uncover())
		}
	}
	if err := mount(dev, "/dev", unix.MS_REC); err != nil {
		return nil, errors.Join(err, uncover())
	}
	return uncover, nil
}

// collector receives IPFIX by UDP, with a buffer that is large enough for a burst.
func collector(load) receiver {
	return &datagrams{
		records: new(templates).records,
		open: func(string) (net.PacketConn, error) {
			conn, err := net.ListenPacket("udp4", "127.0.0.1:4739")
			if err != nil {
				return nil, err
			}
			raw, err := conn.(*net.UDPConn).SyscallConn()
			if err == nil {
				err = raw.Control(func(fd uintptr) {
					// Not root of the machine: then the system's limit counts.
					_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
				})
			}
			return conn, err
		},
	}
}

// templates are the sizes of records by the numbers of templates.
type templates struct{ sizes map[uint16]int }

// records counts the records of an IPFIX message (RFC 7011, section 3). The original
// says what a record holds in its first message only, as ours may.
func (t *templates) records(message []byte) (n int) {
	be := binary.BigEndian
	const header, templateSet = 16, 2
	for b := message[min(header, len(message)):]; len(b) >= 4 && int(be.Uint16(b[2:])) >= 4 && int(be.Uint16(b[2:])) <= len(b); {
		id, body := be.Uint16(b), b[4:be.Uint16(b[2:])]
		b = b[be.Uint16(b[2:]):]
		if id == templateSet {
			t.learn(body)
		} else if size := t.sizes[id]; size > 0 {
			n += len(body) / size
		}
	}
	return n
}

func (t *templates) learn(set []byte) {
	be := binary.BigEndian
	for len(set) >= 4 {
		id, fields, size := be.Uint16(set), int(be.Uint16(set[2:])), 0
		for set = set[4:]; fields > 0 && len(set) >= 4; fields-- {
			size += int(be.Uint16(set[2:]))
			vendor := be.Uint16(set)&0x8000 != 0
			set = set[4:]
			if vendor && len(set) >= 4 {
				set = set[4:]
			}
		}
		if t.sizes == nil {
			t.sizes = make(map[uint16]int)
		}
		t.sizes[id] = size
	}
}
